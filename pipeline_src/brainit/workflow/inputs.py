"""Input functions of the rules: the files that a job reads, from its wildcards."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from brainit.core.errors import PipelineError
from brainit.workflow.cohort import require_time
from brainit.workflow.files import ENCODER, Files, network_files
from brainit.workflow.runs import MAIN, NSDSYNTHETIC, RIDGE, Duration, Pool, Run, Variant
from brainit.workflow.study import KINDS, PEER_TABLE, Study


@runtime_checkable
class Wildcards(Protocol):
    """A job's wildcards, Snakemake's or a dictionary."""

    def get(self, name: str, default: str, /) -> str:
        """Return the value of a wildcard, or `default`."""
        ...


OfJob = Callable[[Wildcards], str]
FilesOfJob = Callable[[Wildcards], list[str]]


def variant_of(wildcards: Wildcards) -> Variant:
    """Return the variant of a job: its own wildcard, or that of its run."""
    run = run_of(wildcards)
    return run.variant if run else Variant.parse(wildcards.get("variant", MAIN.name))


def run_of(wildcards: Wildcards) -> Run | None:
    """Return the run of a job, or None."""
    name = wildcards.get("run", "")
    return Run.parse(name) if name else None


def of_subjects(pattern: str, subjects: list[str]) -> list[str]:
    """Return the file `pattern` of each subject."""
    return [pattern.replace("{subject}", subject) for subject in subjects]


@dataclass(frozen=True)
class Inputs:
    """The input functions of a study."""

    study: Study

    @property
    def files(self) -> Files:
        """The files of the study."""
        return Files(self.study)

    def members_of_pool(self, wildcards: Wildcards) -> list[str]:
        """Return the subjects of the job's pool."""
        return self.study.members(wildcards.get("pool", ""))

    def betas_of_pool(self, wildcards: Wildcards) -> list[str]:
        """Return the betas of each subject of the pool."""
        return of_subjects("<results>/{subject}/betas/betas.npy", self.members_of_pool(wildcards))

    def voxels_of_pool(self, wildcards: Wildcards) -> list[str]:
        """Return the voxels of each subject of the pool."""
        pattern = "<results>/{subject}/betas/voxels.safetensors"
        return of_subjects(pattern, self.members_of_pool(wildcards))

    def trials_of_pool(self, wildcards: Wildcards) -> list[str]:
        """Return the trials of each subject of the pool; refuse a time that one does not tell."""
        members = self.members_of_pool(wildcards)
        duration = Pool.parse(wildcards.get("pool", "")).duration
        for member in members:
            self._require_time(member, duration)
        return self.files.trials(members)

    def trials(self, wildcards: Wildcards) -> str:
        """Return the trials of the job's subject; refuse a time that it does not tell."""
        subject = wildcards.get("subject", "")
        if duration := wildcards.get("duration", ""):
            self._require_time(subject, Duration.parse(duration))
        return self.files.trials([subject])[0]

    def _require_time(self, subject: str, duration: Duration) -> None:
        if subject in self.study.lab:
            require_time(subject, Path(self.study.lab[subject]), duration)

    def recon_scored(self, wildcards: Wildcards) -> str:
        """Return the folder of the job's run.

        Raises `PipelineError` where the run has no images of the job's kind, before any job starts.
        """
        subject, name = wildcards.get("subject", ""), wildcards.get("run", "")
        run, kind = Run.parse(name), wildcards.get("recon_kind", "")
        kinds = [k for k in KINDS if self.files.recon_parts(subject, run, k)]
        if run.is_baseline and run.method != RIDGE and not run.is_peer:
            kinds = ["fused"]  # picked or drawn, in one job
        if kind not in kinds:
            raise PipelineError(
                f"scores of {subject}, {name}",
                f"one of the kinds that this run has: {', '.join(kinds)}",
                kind,
                f"name {name}_{kinds[-1]}_summary.csv, or another run",
                code="unknown-name",
            )
        return f"<results>/{subject}/recon_{name}"

    def networks(self, *roles: str) -> list[str]:
        """Return the weight files of the networks that the section `features` names for `roles`."""
        return network_files(self.study.config["features"][role] for role in roles)

    def metric_networks(self) -> list[str]:
        """Return the weight files of the networks of the evaluation."""
        return network_files(self.study.config["features"]["metrics"])

    def target_network(self, wildcards: Wildcards) -> list[str]:
        """Return the network whose features the BIT of the job's kind predicts."""
        is_lowlevel = wildcards.get("kind", "") == "lowlevel"
        return self.networks("vgg" if is_lowlevel else "semantic_tokens")

    def pool_model(self, stage: str, name: str) -> OfJob:
        """Return the input function of a model of the job's pool and variant."""

        def path(wildcards: Wildcards) -> str:
            pool = Pool.parse(wildcards.get("pool", ""))
            return self.files.pool_model(pool, variant_of(wildcards), stage, name)

        return path

    def base_model(self, stage: str, name: str) -> OfJob:
        """Return the input function of a model that is adapted to the job's subject.

        `{kind}` in `stage` is the job's.
        """

        def path(wildcards: Wildcards) -> str:
            of_kind = stage.replace("{kind}", wildcards.get("kind", ""))
            return self.files.base_model(wildcards.get("subject", ""), of_kind, name)

        return path

    def model_of_run(self, stage: str, name: str) -> FilesOfJob:
        """Return the input function of a model that decodes the job's run; a baseline has none."""

        def paths(wildcards: Wildcards) -> list[str]:
            run = Run.parse(wildcards.get("run", ""))
            if run.is_baseline:
                return []
            return [self.files.model_of_run(wildcards.get("subject", ""), run, stage, name)]

        return paths

    def generator_of_run(self, wildcards: Wildcards) -> list[str]:
        """Return the generator of the job's run after stage 2; none for a baseline.

        Stage 2 tunes the generator to BIT's tokens: a baseline has the pretrained one.
        """
        run = Run.parse(wildcards.get("run", ""))
        if run.is_baseline:
            return []
        return [self.files.generator_of_run(wildcards.get("subject", ""), run)]

    def responses_of_run(self, folder: str, name: str) -> FilesOfJob:
        """Return the input function of the responses that a run decodes; none for a baseline.

        They are `name` of the subject's `folder`, or of a session beside NSD's own.
        """

        def paths(wildcards: Wildcards) -> list[str]:
            run = Run.parse(wildcards.get("run", ""))
            source = run.name if run.is_of_other_session else folder
            path = f"<results>/{wildcards.get('subject', '')}/{source}/{name}"
            if source == "design":
                path = self.trials(wildcards)
            return [] if run.is_baseline else [path]

        return paths

    def predicted_features(self, kind: str) -> FilesOfJob:
        """Return the input function of the features that ridge or a peer predicted."""

        def paths(wildcards: Wildcards) -> list[str]:
            run, subject = Run.parse(wildcards.get("run", "")), wildcards.get("subject", "")
            if run.is_peer and kind == "semantic":
                return [f"{self.files.peer_folder(subject, run.duration, run.method)}/semantic"]
            if run.method != RIDGE:
                return []
            return [self.files.ridge_predictions(subject, run.duration, kind)]

        return paths

    def measured_responses(self, folder: str, name: str) -> OfJob:
        """Return the input function of the responses to the test images that a search fits."""

        def path(wildcards: Wildcards) -> str:
            run, subject = Run.parse(wildcards.get("run", "")), wildcards.get("subject", "")
            if run.is_of_other_session:
                return f"<results>/{subject}/{run.name}/{name}"
            is_trials = folder == "design"
            return self.trials(wildcards) if is_trials else f"<results>/{subject}/{folder}/{name}"

        return path

    def choosing_encoder(self, wildcards: Wildcards) -> str:
        """Return the encoder that chooses among samples of the job's run."""
        run = Run.parse(wildcards.get("run", ""))
        return self.files.choosing_encoder(wildcards.get("subject", ""), run)

    def base_half_encoder(self, wildcards: Wildcards) -> str:
        """Return the encoder, of half of the training images, that is adapted to a new subject."""
        subject, half = wildcards.get("subject", ""), wildcards.get("half", "")
        pool = self.files.peer_pool(subject)
        return f"<results>/group/{pool.name}/{MAIN.name}/encoder_{half}/encoder.safetensors"

    def half_of_trials(self, wildcards: Wildcards) -> list[str]:
        """Return the trials, without half of the training images, of the job's subject or pool."""
        subject, half = wildcards.get("subject", ""), wildcards.get("half", "")
        return self.files.half_of_trials(
            [subject] if subject else self.members_of_pool(wildcards), half
        )

    def search_start(self, wildcards: Wildcards) -> list[str]:
        """Return the low-level shard that a search starts from; none where the run has none."""
        shard = int(wildcards.get("shard", ""))
        return self.recon_parts("lowlevel")(wildcards)[shard : shard + 1]

    def lowlevel_network(self, wildcards: Wildcards) -> list[str]:
        """Return the network whose features are inverted; none where ridge predicts pixels."""
        is_pixels = self.study.config["baselines"]["lowlevel"] == "pixels"
        is_ridge = Run.parse(wildcards.get("run", "")).is_baseline
        return [] if is_ridge and is_pixels else self.networks("vgg")

    def ridge_network(self, wildcards: Wildcards) -> list[str]:
        """Return the network of the features that ridge predicts, where it computes them."""
        if wildcards.get("kind", "") == "lowlevel":
            is_pixels = self.study.config["baselines"]["lowlevel"] == "pixels"
            return [] if is_pixels else self.networks("vgg")
        is_cached = self.study.config["features"]["cache_tokens"]
        return [] if is_cached else self.networks("semantic_tokens")

    def ridge_tokens(self, wildcards: Wildcards) -> list[str]:
        """Return the cached tokens of the stimuli, where they are kept; none for low level."""
        return self.semantic_tokens(wildcards)[:1]

    def peer_model(self, wildcards: Wildcards) -> str:
        """Return the decoder of the job's peer, subject and duration."""
        duration = Duration.parse(wildcards.get("duration", ""))
        method, subject = wildcards.get("method", ""), wildcards.get("subject", "")
        return self.files.peer_model(subject, duration, method)

    def peer_base(self, wildcards: Wildcards) -> str:
        """Return the decoder that the job's transfer of a peer starts from."""
        return self.files.peer_base(wildcards.get("subject", ""), wildcards.get("peer", ""))

    def peer_sources(self, wildcards: Wildcards) -> list[str]:
        """Return the subjects of that decoder's pool, whose data MindBridge's transfer reads."""
        if wildcards.get("peer", "") != "mindbridge":
            return []
        return self.study.members(self.files.peer_pool(wildcards.get("subject", "")).name)

    def peer_source_files(self, name: str) -> FilesOfJob:
        """Return the input function of a file of each of those subjects."""
        pattern = f"<results>/{{subject}}/{name}"
        return lambda wildcards: of_subjects(pattern, self.peer_sources(wildcards))

    def peer_source_trials(self, wildcards: Wildcards) -> list[str]:
        """Return the trials of each of those subjects."""
        return self.files.trials(self.peer_sources(wildcards))

    def identifying_encoder(self, wildcards: Wildcards) -> list[str]:
        """Return the encoder that identifies by responses, for that source alone."""
        if wildcards.get("source", "") != ENCODER:
            return []
        subject, name = wildcards.get("subject", ""), wildcards.get("duration", "")
        duration = Duration.parse(name)
        run = Run() if duration.is_full else Run("transfer", duration)
        return [self.files.model_of_run(subject, run, "encoder", "encoder.safetensors")]

    def identifying_responses(self, name: str) -> FilesOfJob:
        """Return the input function of the responses that an encoder's predictions rank."""

        def paths(wildcards: Wildcards) -> list[str]:
            path = f"<results>/{wildcards.get('subject', '')}/{name}"
            if name == "design/trials.csv":
                path = self.trials(wildcards)
            return [path] if wildcards.get("source", "") == ENCODER else []

        return paths

    def identifying_features(self, wildcards: Wildcards) -> list[str]:
        """Return the features by which a decoder identifies: a peer's own, ridge's tokens."""
        subject, source = wildcards.get("subject", ""), wildcards.get("source", "")
        duration = Duration.parse(wildcards.get("duration", ""))
        if source == ENCODER:
            return []
        if source == RIDGE:
            return [self.files.ridge_predictions(subject, duration, "semantic")]
        return [f"{self.files.peer_folder(subject, duration, source)}/retrieval"]

    def stimuli_tokens(self, wildcards: Wildcards) -> list[str]:
        """Return the cached tokens of the stimuli, where they are kept."""
        subject, pool = wildcards.get("subject", ""), wildcards.get("pool", "")
        return self.files.tokens(MAIN, subject, pool)[:1]

    def recon_parts(self, kind: str) -> FilesOfJob:
        """Return the input function of all shards of one kind of the run's images."""

        def paths(wildcards: Wildcards) -> list[str]:
            run = Run.parse(wildcards.get("run", ""))
            return self.files.recon_parts(wildcards.get("subject", ""), run, kind)

        return paths

    def lowlevel_part(self, wildcards: Wildcards) -> str:
        """Return the shard of low-level images with the number of the job's own shard."""
        return self.recon_parts("lowlevel")(wildcards)[int(wildcards.get("shard", ""))]

    def stimuli_seen(self, wildcards: Wildcards) -> str:
        """Return the images that the job's subject or pool saw."""
        subject, pool = wildcards.get("subject", ""), wildcards.get("pool", "")
        return self.files.stimuli(subject, pool, run_of(wildcards))

    def stimuli_of_subject(self, wildcards: Wildcards) -> str:
        """Return the images of the job's subject, whatever its run decodes."""
        return self.files.stimuli(wildcards.get("subject", ""))

    def true_scenes(self, wildcards: Wildcards) -> list[str]:
        """Return the simulation's truth, where the job's images are its scenes."""
        is_lab = wildcards.get("subject", "") in self.study.lab
        run = run_of(wildcards)
        is_scene = not is_lab and not (run and run.is_of_other_session)
        return self.files.simulated("truth") if is_scene else []

    def true_features(self, wildcards: Wildcards) -> list[str]:
        """Return the features of the test images; none for those of another session."""
        run, subject = run_of(wildcards), wildcards.get("subject", "")
        is_other = run is not None and run.is_of_other_session
        return [] if is_other else [f"<results>/{subject}/metrics/true_features.safetensors"]

    def semantic_tokens(self, wildcards: Wildcards) -> list[str]:
        """Return the cached tokens, where they are kept; none for the low-level BIT."""
        if wildcards.get("kind", "") != "semantic":
            return []
        subject, pool = wildcards.get("subject", ""), wildcards.get("pool", "")
        return self.files.tokens(variant_of(wildcards), subject, pool)

    def latents(self, wildcards: Wildcards) -> list[str]:
        """Return the cached latents of the images of stage 2, where they are kept."""
        subject, pool = wildcards.get("subject", ""), wildcards.get("pool", "")
        return self.files.latents(variant_of(wildcards), subject, pool)

    def predicted_fmri(self, wildcards: Wildcards) -> list[str]:
        """Return the predicted fMRI of the job's pool or new subject, where it is trained on."""
        if not self.study.uses_external(variant_of(wildcards)):
            return []
        if pool := wildcards.get("pool", ""):
            return [f"<results>/group/{pool}/{MAIN.name}/synthetic_fmri"]
        subject, duration = wildcards.get("subject", ""), wildcards.get("duration", "")
        return [f"<results>/{subject}/transfer_{duration}/synthetic_fmri"]

    def mask_files(self, wildcards: Wildcards) -> list[str]:
        """Return the subject's own ROI files, where nsd.mask is `files`."""
        subject = wildcards.get("subject", "")
        return [
            path.replace("{subject}", subject) for path in self.study.config["nsd"]["mask_files"]
        ]

    def lab_files(self, wildcards: Wildcards) -> list[str]:
        """Return the files in the folder of a lab subject."""
        return self.files.lab_files(wildcards.get("subject", ""))

    def atlas_source(self, wildcards: Wildcards) -> list[str]:
        """Return the sources of an atlas's annotations: its files, or their simulation.

        Raises `PipelineError` for clusters by place of a cohort without a common space.
        """
        self.study.require_clusters(variant_of(wildcards))
        files = self.files.atlas(variant_of(wildcards))
        simulated = f"{self.study.config['paths']['store']}/simulated/nsd/"
        is_made = self.study.is_simulated and any(name.startswith(simulated) for name in files)
        return self.files.simulated("nsd") if is_made else files

    def table_scores(self, suffix: str) -> FilesOfJob:
        """Return the input function of the scores of a table, or of their means (`_summary`)."""

        def paths(wildcards: Wildcards) -> list[str]:
            scores = self.study.scores_of_table(wildcards.get("table", ""))
            return self.files.scores(scores, suffix)

        return paths

    def names_of_table_scores(self, wildcards: Wildcards) -> list[str]:
        """Return the names of the scores of the job's table."""
        return list(self.study.scores_of_table(wildcards.get("table", "")))

    def table_classes(self, wildcards: Wildcards) -> list[str]:
        """Return the classes of NSD-synthetic's images, for its table."""
        if wildcards.get("table", "") != NSDSYNTHETIC:
            return []
        pattern = f"<results>/{{subject}}/{NSDSYNTHETIC}/classes.csv"
        return of_subjects(pattern, self.study.class_subjects)

    def peer_histories(self, wildcards: Wildcards) -> list[str]:
        """Return the histories of the peers' trainings, for their table."""
        if wildcards.get("table", "") != PEER_TABLE:
            return []
        return list(self.files.peer_histories().values())

    def table_identifications(self, wildcards: Wildcards) -> list[str]:
        """Return the tables of identification that the job's table shows."""
        return list(self.files.identifications(wildcards.get("table", "")).values())

    def table_encoder(self, wildcards: Wildcards) -> list[str]:
        """Return the encoder's accuracy of each evaluated subject of NSD, for its table."""
        if wildcards.get("table", "") != "encoder":
            return []
        return of_subjects("<results>/{subject}/metrics/encoder.csv", self.study.evaluated_nsd)
