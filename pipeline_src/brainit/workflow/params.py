"""Params functions of the rules: parts of a job's command that depend on inputs and variant."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainit.workflow.files import Files
from brainit.workflow.inputs import Inputs, Wildcards, variant_of
from brainit.workflow.reads import PEER_STEPS, settings_json
from brainit.workflow.runs import Duration, Pool, Run
from brainit.workflow.study import Study

OF_NSD = ("simulate_nsd", "download")
"""Steps whose subjects are those of NSD alone."""

Labels = Iterable[str] | Callable[[Wildcards], Iterable[str]]
Words = Callable[[Wildcards, Mapping[str, Any]], list[str]]


def labelled(key: str, labels: Labels) -> Words:
    """Return the params function that writes the files of input `key` as LABEL=path, in order."""

    def words(wildcards: Wildcards, input: Mapping[str, Any]) -> list[str]:
        names = labels(wildcards) if callable(labels) else labels
        return [f"{name}={path}" for name, path in zip(names, input[key], strict=True)]

    return words


def recons_by_run(key: str) -> Words:
    """Return the params function that writes the folders of input `key` as SUBJECT/RUN=path."""

    def words(wildcards: Wildcards, input: Mapping[str, Any]) -> list[str]:
        folders = [Path(path) for path in input[key]]
        return [f"{f.parent.name}/{f.name.removeprefix('recon_')}={f}" for f in folders]

    return words


def flag(name: str, key: str) -> Words:
    """Return the params function of a flag and the files of input `key`; nothing without them."""

    def words(wildcards: Wildcards, input: Mapping[str, Any]) -> list[str]:
        return [name, *_paths(input, key)] if _paths(input, key) else []

    return words


def flags(**keys: str) -> Words:
    """Return the params function of several flags, each with the files of an input."""
    functions = [flag(f"--{name.replace('_', '-')}", key) for name, key in keys.items()]
    return lambda wildcards, input: [w for of in functions for w in of(wildcards, input)]


def token_flags(wildcards: Wildcards, input: Mapping[str, Any]) -> list[str]:
    """Return the flags of the cached tokens: of the stimuli, and of external images."""
    return _of_image_sets("tokens", input)


def latent_flags(wildcards: Wildcards, input: Mapping[str, Any]) -> list[str]:
    """Return the flags of the cached latents: of the stimuli, and of external images."""
    return _of_image_sets("latents", input)


def _of_image_sets(name: str, input: Mapping[str, Any]) -> list[str]:
    """Return the flags of a cache whose files are the input `name`."""
    pairs = zip([f"--{name}", f"--external-{name}"], _paths(input, name), strict=False)
    return [word for pair in pairs for word in pair]


def duration_of_pool(wildcards: Wildcards) -> str:
    """Return how much of each subject's data the job's pool uses."""
    return Pool.parse(wildcards.get("pool", "")).duration.name


def kind_of_images(wildcards: Wildcards) -> str:
    """Return the kind of images that a job scores."""
    return wildcards.get("recon_kind", "lowlevel")


def _paths(input: Mapping[str, Any], key: str) -> list[str]:
    """Return the files of input `key`, none where the rule has no such input."""
    paths = input.get(key, [])
    return [str(paths)] if isinstance(paths, str) else [str(path) for path in paths]


@dataclass(frozen=True)
class Params:
    """The params functions of a study."""

    study: Study

    def settings(self, step: str) -> Callable[[Wildcards], str]:
        """Return the params function of the settings that `step` reads, as JSON.

        The values are those of the job's variant; `{kind}` in `step` is the job's. A peer's job
        is passed its own peer's sections, so that another's settings do not rerun it.
        """

        def text(wildcards: Wildcards) -> str:
            name = step.replace("{kind}", wildcards.get("kind", ""))
            values = self.study.variants.settings_of(variant_of(wildcards))
            if name in OF_NSD:
                values = {**values, "nsd": {**values["nsd"], "subjects": self.study.nsd_subjects}}
            peer = wildcards.get("peer", "") or wildcards.get("method", "")
            return settings_json(name, values, peer if name in PEER_STEPS else None)

        return text

    def weights(self, wildcards: Wildcards) -> str:
        """Return the folder of published weights; Snakemake's linter wants no constant here."""
        return f"{self.study.config['paths']['store']}/weights"

    def source(self, wildcards: Wildcards, input: Mapping[str, Any]) -> str:
        """Return the root of NSD's tree: the simulator's folder among the inputs, or a source."""
        simulated = _paths(input, "simulated")
        return simulated[0] if simulated else self.study.source

    def coco_source(self, wildcards: Wildcards, input: Mapping[str, Any]) -> str:
        """Return the folder of COCO's archive: that of the simulated one, or a source."""
        simulated = _paths(input, "simulated")
        return str(Path(simulated[1]).parent) if simulated else self.study.coco_source

    def synthetic_flags(self, wildcards: Wildcards, input: Mapping[str, Any]) -> list[str]:
        """Return --synthetic and SUBJECT=folder of a pool's predicted fMRI, or a subject's folder.

        Nothing where no external images are trained on.
        """
        folders = _paths(input, "synthetic")
        if not folders:
            return []
        if pool := wildcards.get("pool", ""):
            subjects = self.study.members(pool)
            return ["--synthetic", *(f"{name}={folders[0]}/{name}" for name in subjects)]
        return ["--synthetic", f"{folders[0]}/{wildcards.get('subject', '')}"]

    def peer_source_flags(self, wildcards: Wildcards, input: Mapping[str, Any]) -> list[str]:
        """Return the flags of the pool's responses and trials, where a peer's transfer reads them.

        MindBridge cycles through the subjects of its pool.
        """
        names = Inputs(self.study).peer_sources(wildcards)
        words = []
        for flag_name, key in (("betas", "source_betas"), ("trials", "source_trials")):
            pairs = zip(names, _paths(input, key), strict=True)
            own = [f"{name}={path}" for name, path in pairs]
            words += [f"--source-{flag_name}", *own] if own else []
        return words

    def encoder_flags(self, wildcards: Wildcards, input: Mapping[str, Any]) -> list[str]:
        """Return --encoder and SUBJECT=file of the encoder's accuracy, where it is an input."""
        if not _paths(input, "encoder"):
            return []
        return ["--encoder", *labelled("encoder", self.study.evaluated_nsd)(wildcards, input)]

    def cost_flags(self, wildcards: Wildcards, input: Mapping[str, Any]) -> list[str]:
        """Return --costs and the histories of the peers' trainings, for their table."""
        if not _paths(input, "costs"):
            return []
        labels = list(Files(self.study).peer_histories())
        return ["--costs", *labelled("costs", labels)(wildcards, input)]

    def identification_flags(self, wildcards: Wildcards, input: Mapping[str, Any]) -> list[str]:
        """Return --identification and its tables, for a table that shows them."""
        sources = list(Files(self.study).identifications(wildcards.get("table", "")))
        found = labelled("identification", sources)(wildcards, input)
        return ["--identification", *found] if found else []

    def atlas_flags(self, wildcards: Wildcards) -> list[str]:
        """Return --atlas and its files, where clusters are an atlas's parcels."""
        files = Files(self.study).atlas(variant_of(wildcards))
        return ["--atlas", *files] if files else []

    def new_subject_flag(self, wildcards: Wildcards) -> list[str]:
        """Return --new-subject where Brain-IT's own run is one of transfer."""
        is_outside = self.study.is_new(wildcards.get("subject", ""))
        is_new = is_outside or not Duration.parse(wildcards.get("duration", "")).is_full
        return ["--new-subject"] if is_new else []

    def duration_of_run(self, wildcards: Wildcards) -> str:
        """Return the amount of the subject's data that a search may weigh voxels by."""
        return Run.parse(wildcards.get("run", "")).duration.name

    def shard(self, wildcards: Wildcards) -> str:
        """Return k/n: the number of the job's shard, from 0, and how many there are."""
        return f"{wildcards.get('shard', '')}/{self.study.config['recon']['n_shards']}"

    def lab_folder(self, wildcards: Wildcards) -> str:
        """Return the folder of the job's lab subject."""
        return self.study.lab[wildcards.get("subject", "")]

    def recorded(self, wildcards: Wildcards) -> list[str]:
        """Return --recorded for a lab subject: its brain is no simulation, whatever the data."""
        return ["--recorded"] if wildcards.get("subject", "") in self.study.lab else []

    def joint_processes(self, wildcards: Wildcards) -> int:
        """Return the number of processes that train stage 2, each with a GPU."""
        settings = self.study.variants.settings_of(variant_of(wildcards))
        return int(settings["joint"]["processes"])

    def joint_launcher(self, wildcards: Wildcards) -> list[str]:
        """Return the words by which torchrun starts several processes; none for one.

        After the signal to end, they have 240 s to write a checkpoint, less than a job has before
        its limit.
        """
        n = self.joint_processes(wildcards)
        if n == 1:
            return []
        launcher = ["-m", "torch.distributed.run", "--standalone", "--shutdown-timeout", "240"]
        return [*launcher, "--nproc-per-node", str(n)]

    def uses_mlp(self, wildcards: Wildcards) -> bool:
        """Return True if the job's low-level decoder is the MLP of T5, which takes more memory."""
        settings = self.study.variants.settings_of(variant_of(wildcards))
        is_lowlevel = wildcards.get("kind", "lowlevel") == "lowlevel"
        return is_lowlevel and bool(settings["bit_lowlevel"]["decoder"] == "mlp")
