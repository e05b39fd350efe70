"""Paths of the workflow's files: models, reconstructions, scores, images, networks.

Paths start with `<results>` or `<store>`, which Snakemake replaces by `paths.results` and
`paths.store`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from brainit.workflow.cohort import COHORT, NSD, is_nsd
from brainit.workflow.runs import (
    BASES,
    CONTRASTIVE,
    FULL,
    MAIN,
    RIDGE,
    STAGE1,
    Duration,
    Pool,
    Run,
    Variant,
)
from brainit.workflow.study import PEER_TABLE, RETRIEVAL_TABLE, Score, Study

DEMO_NETWORKS = Path(__file__).absolute().parents[1] / "features" / "demo"
LAB_FILES = ("betas.npy", "trials.csv", "voxels.csv", "subject.json", "images", "images.npy")
"""Files that a lab subject's folder may hold (config/lab_subject.md)."""
STAGES = ("encoder", "bit_lowlevel", "bit_semantic", "joint")
"""Trained models, in order; each writes a history."""
ENCODER = "encoder"
"""Source of an identification: the encoder's predicted responses (Kay et al. 2008)."""
TABLE_FORMATS = ("csv", "md", "html", "tex")


def network_files(names: Iterable[str]) -> list[str]:
    """Return the weight files of networks; the network `none` has none.

    Demo networks ship with the package: their paths are relative where the package lies below the
    working directory, so that a moved repository reruns nothing.
    """
    return [_network_file(name) for name in names if name != "none"]


def _network_file(name: str) -> str:
    if not name.startswith("demo_"):
        return f"<store>/weights/{name}.safetensors"
    here = Path.cwd()
    for folder in (DEMO_NETWORKS, DEMO_NETWORKS.resolve()):
        if folder.is_relative_to(here):
            return str(folder.relative_to(here) / f"{name}.safetensors")
    return str(DEMO_NETWORKS / f"{name}.safetensors")


def table_files(names: Iterable[str]) -> list[str]:
    """Return all files of the tables `names`."""
    return [f"<results>/tables/{name}/{name}.{end}" for name in names for end in TABLE_FORMATS]


def score_file(score: Score, suffix: str = "") -> str:
    """Return a score's table of images, or its means with suffix `_summary`."""
    return f"<results>/{score.subject}/metrics/{score.run}_{score.kind}{suffix}.csv"


def recon_folder(subject: str, run: Run) -> str:
    """Return the folder of a run's reconstructions."""
    return f"<results>/{subject}/recon_{run.name}"


def own_trials(subject: str) -> str:
    """Return the trial table of a subject by itself."""
    return f"<results>/{subject}/design/trials.csv"


@dataclass(frozen=True)
class Files:
    """The files of a study."""

    study: Study

    @property
    def pool_models(self) -> str:
        """Folder of the models of the pool `all`: trained, the authors', or exported ones."""
        models: str = self.study.config["models"]
        known = {"train": "<results>/group/all/main", "authors": "<results>/group/all/authors"}
        return known.get(models, models.rstrip("/"))

    def pool_model(self, pool: Pool, variant: Variant, stage: str, name: str) -> str:
        """Return a file of a pool's model: main's where the variant does not change the model."""
        variants = self.study.variants
        if variants.changes(variant, stage):
            maker = variants.maker(variant, stage)
            return f"<results>/group/{pool.name}/{maker.name}/{stage}/{name}"
        main = f"<results>/group/{pool.name}/{MAIN.name}"
        return f"{self.pool_models if pool.kind == 'all' else main}/{stage}/{name}"

    def model_of_run(self, subject: str, run: Run, stage: str, name: str) -> str:
        """Return a file of the model that decodes a run: a pool's, or the subject's own."""
        if run.is_transfer or (run.is_pooled and self.study.is_new(subject)):
            return f"<results>/{subject}/transfer_{run.name}/{stage}/{name}"
        return self.pool_model(run.pool(subject), run.variant, stage, name)

    def base_model(self, subject: str, stage: str, name: str) -> str:
        """Return a file of the model that is adapted to a new subject: of a pool without it."""
        if self.study.is_new(subject):
            return f"{self.pool_models}/{stage}/{name}"
        return f"<results>/group/{Pool('without', subject).name}/{MAIN.name}/{stage}/{name}"

    def generator_of_run(self, subject: str, run: Run) -> str:
        """Return the generator that decodes a run; transfer leaves the pool's as it is."""
        is_adapted = run.is_transfer or (run.is_pooled and self.study.is_new(subject))
        if is_adapted:
            return self.base_model(subject, "joint", "generator.safetensors")
        return self.model_of_run(subject, run, "joint", "generator.safetensors")

    def recon_parts(self, subject: str, run: Run, kind: str) -> list[str]:
        """Return the shards of one kind of a run's images.

        A variant has only the kinds that it is judged by, and shares those of the full run that it
        does not change. The model from scratch, the models of fewer subjects and ridge on less than
        all data have no semantic-only images.
        """
        if run.is_searched:
            return self._searched_parts(subject, run, kind)
        variants = self.study.variants
        if not run.variant.is_main:
            if kind not in variants.kinds_of(run.variant):
                return []
            run = variants.run_of(run.variant, kind)
        if run.is_peer and kind != "semantic":
            return []
        is_less = run.is_scratch or (
            run.is_baseline and not run.is_peer and not run.duration.is_full
        )
        if kind == "semantic" and (is_less or run.is_of_fewer_subjects):
            return []
        return self._shards(subject, run, kind)

    def _searched_parts(self, subject: str, run: Run, kind: str) -> list[str]:
        """Return the shards of a search: its images are `fused`, its start the run's `lowlevel`."""
        if kind == "semantic":
            return []
        own = self._shards(subject, run, kind)
        return own if kind == "fused" else self.recon_parts(subject, run.base, kind)

    def _shards(self, subject: str, run: Run, kind: str) -> list[str]:
        folder = f"{recon_folder(subject, run)}_parts/{kind}"
        n_shards = self.study.config["recon"]["n_shards"]
        return [f"{folder}/shard_{shard}.safetensors" for shard in range(n_shards)]

    def choosing_encoder(self, subject: str, run: Run) -> str:
        """Return the encoder that chooses among samples of a run, by `brain_search.encoder`.

        That of the run's models, or of the same subjects and half of the training images. A
        baseline has no models: its encoder is that of Brain-IT's run of the same amount of data.
        """
        if run.is_baseline:
            run = Run() if run.duration.is_full else Run("transfer", run.duration)
        known = self.model_of_run(subject, run, "encoder", "encoder.safetensors")
        half = self.study.config["brain_search"]["encoder"]
        if half == "pool":
            return known
        folder = f"<results>/group/{run.pool(subject).name}/{MAIN.name}"
        if known.startswith(f"<results>/{subject}/"):
            folder = known.rpartition("/encoder/")[0]
        return f"{folder}/encoder_{half}/encoder.safetensors"

    def half_of_trials(self, subjects: Iterable[str], half: str) -> list[str]:
        """Return the trial tables of subjects in which half of the training images are unused."""
        return [f"<results>/{subject}/halves/trials_{half}.csv" for subject in subjects]

    def ridge_predictions(self, subject: str, duration: Duration, kind: str) -> str:
        """Return the features of the test images that ridge predicts; `kind` as of a BIT."""
        return f"<results>/{subject}/ridge_{duration.name}/{kind}"

    def peer_folder(self, subject: str, duration: Duration, method: str) -> str:
        """Return the folder of what a peer, or stage 1, predicts for a subject."""
        return f"<results>/{subject}/peer_{duration.name}_{method}"

    def peer_model(self, subject: str, duration: Duration, method: str) -> str:
        """Return the decoder of a peer's run, or of stage 1: the pool's, or the subject's own.

        `lora_skip` always is the subject's own, that of an ablation the pool's.
        """
        is_new = self.study.is_new(subject) or not duration.is_full
        if method == CONTRASTIVE:
            variant = Variant(CONTRASTIVE)
            return self.pool_model(Pool(), variant, "bit_semantic", "bit.safetensors")
        if method == STAGE1:
            run = Run("transfer", duration) if not duration.is_full else Run()
            return self.model_of_run(subject, run, "bit_semantic", "bit.safetensors")
        if is_new or method != BASES[method]:
            return f"{self.peer_folder(subject, duration, method)}/bit.safetensors"
        return f"{self._peer_pool(Pool())}/peer_{method}/bit.safetensors"

    def peer_base(self, subject: str, method: str) -> str:
        """Return the decoder that a peer's transfer to a subject starts from."""
        pool = self.peer_pool(subject)
        return f"{self._peer_pool(pool)}/peer_{BASES[method]}/bit.safetensors"

    def peer_pool(self, subject: str) -> Pool:
        """Return the pool that a new subject's peer is transferred from."""
        return Pool() if self.study.is_new(subject) else Pool("without", subject)

    def peer_histories(self) -> dict[str, str]:
        """Return the histories of the trainings of all peers, as POOL/PEER or SUBJECT/RUN."""
        models: dict[str, str] = {}
        for subject, run in self.study.peer_runs:
            if run.method == STAGE1:
                continue
            own = self.peer_model(subject, run.duration, run.method)
            paths = [own] if "/group/" in own else [self.peer_base(subject, run.method), own]
            for path in paths:
                label = f"{subject}/{run.name}"
                if "/group/" in path:
                    _, _, pool, _, folder, _ = path.split("/")
                    label = f"{pool}/{folder.removeprefix('peer_')}"
                models[label] = f"{path.rpartition('/')[0]}/history.csv"
        return models

    def identifications(self, table: str) -> dict[str, str]:
        """Return the tables of identification that a table shows, as SUBJECT/AMOUNT/SOURCE.

        T6 has the decoders that `all` makes, the table of peers those of its runs and the encoder,
        and the table of retrieval both; these two have the ablation with a contrastive head.
        """
        subjects = self.study.evaluated if table in ("t6", RETRIEVAL_TABLE) else []
        sources = [(s, FULL.name, source) for s in subjects for source in (STAGE1, RIDGE)]
        if table in (PEER_TABLE, RETRIEVAL_TABLE):
            sources += [
                (subject, run.duration.name, source)
                for subject, run in self.study.peer_runs
                for source in (ENCODER, RIDGE, run.method)
            ]
            own = [subject for subject, _ in self.study.contrastive_runs]
            sources += [(subject, FULL.name, CONTRASTIVE) for subject in own]
        return {
            f"{subject}/{name}/{source}": f"<results>/{subject}/identification/{name}_{source}.csv"
            for subject, name, source in sources
        }

    @staticmethod
    def _peer_pool(pool: Pool) -> str:
        return f"<results>/group/{pool.name}/{MAIN.name}"

    def stimuli(self, subject: str = "", pool: str = "", run: Run | None = None) -> str:
        """Return the images that a subject or pool saw: NSD's, NSD-synthetic's or a lab's own.

        Those of a cohort that is not NSD's alone are joined into one set.
        """
        if run and run.is_of_other_session:
            return f"<results>/{subject}/{run.name}/images"
        return f"<results>/{self.study.owner_of_images(subject, pool)}/images/stimuli"

    @property
    def external(self) -> str:
        """Return the external images; a cohort that is not NSD's alone leaves out what it tests."""
        return f"{self._external_owner}/images/external"

    @property
    def _external_owner(self) -> str:
        return f"<results>/{COHORT if self.study.is_joined else 'group'}"

    def own_stimuli(self) -> dict[str, str]:
        """Return the images of each data set or subject of the cohort, before they are joined.

        NSD's come first, so that a row of the joined images is an nsd_id.
        """
        others = [subject for subject in self.study.cohort if not is_nsd(subject)]
        own = {subject: f"<results>/{subject}/images/stimuli" for subject in others}
        nsd = {NSD: "<results>/group/images/stimuli"} if self.study.nsd_subjects else {}
        return {**nsd, **own}

    def image_names(self) -> dict[str, str]:
        """Return the names of the images of each subject of the cohort that is not NSD's."""
        own = [name for name in self.own_stimuli() if name != NSD]
        return {subject: f"<results>/{subject}/images/names.csv" for subject in own}

    def own_trials(self, subjects: Iterable[str]) -> list[str]:
        """Return the trial table of each subject by itself."""
        return [own_trials(subject) for subject in subjects]

    def trials(self, subjects: Iterable[str]) -> list[str]:
        """Return the trial table of each subject, in the numbers of its `stimuli`.

        That of a cohort's member is joined: no picture that one tests trains another.
        """
        owners = {subject: self.study.owner_of_images(subject) for subject in subjects}
        return [
            f"<results>/{COHORT}/trials/{subject}.csv" if owner == COHORT else own_trials(subject)
            for subject, owner in owners.items()
        ]

    def tokens(self, variant: Variant, subject: str = "", pool: str = "") -> list[str]:
        """Return the cached tokens of stimuli and external images, where the settings keep them."""
        return self._cached("tokens", variant, subject, pool)

    def latents(self, variant: Variant, subject: str = "", pool: str = "") -> list[str]:
        """Return the cached latents of stimuli and external images, where settings keep them."""
        return self._cached("latents", variant, subject, pool)

    def _cached(self, name: str, variant: Variant, subject: str, pool: str) -> list[str]:
        if not self.study.config["features"][f"cache_{name}"]:
            return []
        owner = self.study.owner_of_images(subject, pool)
        folder = self._external_owner
        external = [f"{folder}/{name}/external"] if self.study.uses_external(variant) else []
        return [f"<results>/{owner}/{name}/stimuli", *external]

    def scores(self, scores: Mapping[str, Score], suffix: str = "") -> list[str]:
        """Return the files of scores, in order."""
        return [score_file(score, suffix) for score in scores.values()]

    def recon_folders(self, runs: Iterable[tuple[str, Run]]) -> list[str]:
        """Return the reconstruction folders of runs, given as (subject, run)."""
        return [recon_folder(subject, run) for subject, run in runs]

    def histories(self) -> dict[str, str]:
        """Return the training histories that the figures show, by label."""
        study = self.study
        pools = [Pool()] if study.trains_pool else []
        adapted = [s for s in study.transfer if study.transfer_durations(s)]
        pools += [Pool("without", s) for s in adapted if not study.is_new(s)]
        folders = {pool.name: f"<results>/group/{pool.name}/{MAIN.name}" for pool in pools}
        for subject in study.transfer:
            for duration in study.transfer_durations(subject):
                label = f"{subject}_{duration.name}"
                folders[label] = f"<results>/{subject}/transfer_{duration.name}"
        return {
            f"{label}/{stage}": f"{folder}/{stage}/history.csv"
            for label, folder in folders.items()
            for stage in STAGES
        }

    def atlas(self, variant: Variant) -> list[str]:
        """Return the annotations of both hemispheres, where clusters are an atlas's parcels."""
        clusters = self.study.variants.settings_of(variant)["clusters"]
        pattern = clusters["atlas"].replace("{store}", self.study.config["paths"]["store"])
        sides = ("lh", "rh") if clusters["method"] == "atlas" else ()
        return [pattern.replace("{hemisphere}", side) for side in sides]

    def simulated(self, *names: str) -> list[str]:
        """Return files of the simulator, where the data are simulated."""
        return [f"<store>/simulated/{name}" for name in names] if self.study.is_simulated else []

    def truth(self, *names: str) -> list[str]:
        """Return files of the simulator, where all subjects are simulated."""
        return [] if self.study.is_joined else self.simulated(*names)

    def lab_files(self, subject: str) -> list[str]:
        """Return the files of a lab subject's folder; the folder itself if it is empty."""
        folder = Path(self.study.lab[subject])
        paths = [folder / name for name in LAB_FILES]
        return [str(path) for path in paths if path.exists()] or [str(folder)]
