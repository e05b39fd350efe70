"""Subjects, runs, scores and tables that a configuration asks for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from brainit.core.errors import PipelineError
from brainit.workflow.cohort import COHORT, MOSAIC, NSD, dataset_of, is_nsd, require_host_states
from brainit.workflow.runs import (
    CONTRASTIVE,
    FULL,
    KNN,
    MAIN,
    NSDSYNTHETIC,
    PLACE_ONLY,
    RIDGE,
    Duration,
    Pool,
    Run,
    Variant,
)
from brainit.workflow.sources import is_remote
from brainit.workflow.terms import require_accepted
from brainit.workflow.variants import Variants

KINDS = ("lowlevel", "semantic", "fused")
"""The images of a full run; `fused` are the final ones."""
TABLES = ("table1", "t4", "t6", "t7")
"""Tables of `all`."""
ABLATION_TABLES = ("t1", "t2", "t3", "t5")
"""Tables of `ablations`."""
BEYOND_TABLES = (
    NSDSYNTHETIC,
    "sessions",
    "subjects",
    "seeds",
    "retrieval",
    "encoder",
    "failures",
    "peers",
)
"""Tables of `everything` that the paper has no numbers for."""
PEER_TABLE = "peers"
"""Table of the target `peers`."""
RETRIEVAL_TABLE = "retrieval"
"""Table of retrieval, subject by subject."""
EVERY_TABLE = (*TABLES, *ABLATION_TABLES, *BEYOND_TABLES)

SHOWN_RUNS = (FULL.name, f"{FULL.name}_ridge", f"{FULL.name}_knn")
"""Runs whose images the figures show."""


@dataclass(frozen=True, order=True)
class Score:
    """The metrics of one kind of images of one run of one subject."""

    subject: str
    run: str
    kind: str

    @property
    def name(self) -> str:
        """The score's name in tables and checks, such as `subj01/40h/fused`."""
        return f"{self.subject}/{self.run}/{self.kind}"


@dataclass(frozen=True, eq=False)
class Study:
    """A checked configuration and the files it asks for; `config` holds all its sections."""

    config: Mapping[str, Any]
    variants: Variants

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Study":
        """Return the study of a complete configuration.

        Raises `PipelineError` for choices of subjects, ablations or seeds that cannot be run.
        """
        nsd = config["nsd"]
        _require_subjects(nsd["subjects"], nsd["evaluated"], nsd["transfer"], config["lab"])
        study = cls(config, Variants.of(config))
        _require_cohort(study)
        for name, settings in study.variants.settings.items():
            require_host_states(name, settings)
        return study

    @property
    def subjects(self) -> list[str]:
        """The subjects whose data train the pool `all`."""
        return list(self.config["nsd"]["subjects"])

    @cached_property
    def cohort(self) -> list[str]:
        """The pool's subjects, and the new ones outside it."""
        return list(dict.fromkeys([*self.subjects, *self.transfer]))

    @cached_property
    def nsd_subjects(self) -> list[str]:
        """NSD's subjects of the cohort."""
        return [subject for subject in self.cohort if is_nsd(subject)]

    @property
    def is_joined(self) -> bool:
        """True where the cohort is not NSD's alone, so that its images are joined into one set."""
        return len(self.nsd_subjects) < len(self.cohort)

    def is_new(self, subject: str) -> bool:
        """Return True for a subject outside the pool, decoded by transfer from all of it."""
        is_known = subject in self.lab or self.is_joined
        return is_known and subject not in self.subjects

    def owner_of_images(self, subject: str = "", pool: str = "") -> str:
        """Return the folder of a subject's or pool's images: group, the cohort's, or its own."""
        name = subject or self.members(pool)[0]
        if self.is_joined and name in self.cohort:
            return COHORT
        return name if name in self.lab else "group"

    @property
    def evaluated(self) -> list[str]:
        """Subjects decoded with the models of the pool `all`."""
        return list(self.config["nsd"]["evaluated"])

    @property
    def evaluated_nsd(self) -> list[str]:
        """Those of NSD, which have its regions and its further session."""
        return [subject for subject in self.evaluated if is_nsd(subject)]

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables of `everything`; without subjects of NSD not those of its own data."""
        of_nsd = () if self.evaluated_nsd else (NSDSYNTHETIC, "encoder")
        return tuple(name for name in EVERY_TABLE if name not in of_nsd)

    @property
    def transfer(self) -> list[str]:
        """Subjects decoded as new subjects, too."""
        return list(self.config["nsd"]["transfer"])

    @property
    def lab(self) -> Mapping[str, str]:
        """Lab subjects -> their folders."""
        return dict(self.config["lab"])

    @property
    def is_simulated(self) -> bool:
        """True where the data are simulated."""
        return bool(self.config["run"]["simulation"])

    @property
    def source(self) -> str:
        """Root of NSD's tree: the simulator's folder, or `paths.source`."""
        paths = self.config["paths"]
        return f"{paths['store']}/simulated/nsd" if self.is_simulated else str(paths["source"])

    @property
    def coco_source(self) -> str:
        """Folder of COCO's archive: the simulator's, or the one in the settings."""
        paths = self.config["paths"]
        return (
            f"{paths['store']}/simulated/coco" if self.is_simulated else str(paths["coco_source"])
        )

    @property
    def is_remote(self) -> bool:
        """True where NSD's files come over the network."""
        return is_remote(self.source)

    def require_terms(self) -> None:
        """Raise `PipelineError` unless NSD's terms are accepted, or need not be."""
        require_accepted(self.source, bool(self.config["nsd"]["accept_terms"]))

    @property
    def trains_pool(self) -> bool:
        """True where the models of the pool `all` are trained, not given."""
        return bool(self.config["models"] == "train")

    def transfer_durations(self, subject: str) -> list[Duration]:
        """Return the amounts of data from which a subject is decoded as a new one, in order."""
        if subject not in self.transfer:
            return []
        transfer = self.config["transfer"]
        short = transfer["short_durations"] if subject == self.transfer[0] else []
        return sorted({Duration.parse(name) for name in [*transfer["durations"], *short]})

    def runs_of(self, subject: str) -> list[Run]:
        """Return the runs of a subject that `all` scores, the baselines of each amount last."""
        durations = self.transfer_durations(subject)
        runs = [Run()] if subject in self.evaluated else []
        runs += [Run("transfer", duration) for duration in durations]
        is_scratch = subject in self.transfer and self.config["transfer"]["scratch"]
        runs += [Run.parse("1h_scratch")] if is_scratch else []
        amounts = [*([FULL] if subject in self.evaluated else []), *durations]
        baselines = [(amount, method) for amount in amounts for method in (RIDGE, KNN)]
        if self.is_simulated and subject in self.evaluated and is_nsd(subject):
            baselines.append((FULL, PLACE_ONLY))
        return [*runs, *(Run("baseline", amount, method=method) for amount, method in baselines)]

    @cached_property
    def main_runs(self) -> list[tuple[str, Run]]:
        """(subject, run) of all that `all` scores."""
        return [(subject, run) for subject in self.cohort for run in self.runs_of(subject)]

    @cached_property
    def main_scores(self) -> dict[str, Score]:
        """Scores of `all`, by name: all kinds of the full run and of ridge, else the final images.

        Final images are of the kind `fused`, also where nothing was fused.
        """
        of_every_kind = (Run(), Run("baseline", FULL, method=RIDGE))
        scores = [
            Score(subject, run.name, kind)
            for subject, run in self.main_runs
            for kind in (KINDS if run in of_every_kind else KINDS[-1:])
        ]
        return _by_name(scores)

    @cached_property
    def further_scores(self) -> dict[str, Score]:
        """Scores of `everything` beyond the paper's tables, by name.

        NSD-synthetic, more amounts of the first new subject's data, and models of fewer subjects.
        """
        nsd = self.config["nsd"]
        scores = []
        if nsd["space"] == "fsaverage":
            scores += [Score(s, NSDSYNTHETIC, kind) for s in self.evaluated_nsd for kind in KINDS]
        for subject in self.transfer[:1]:
            known = [duration.name for duration in self.transfer_durations(subject)]
            further = self.config["transfer"]["further_durations"]
            scores += [Score(subject, name, "fused") for name in further if name not in known]
        if self.trains_pool:
            sizes = [n for n in nsd["pool_sizes"] if n < len(self.subjects)]
            runs = [Run("first", n_subjects=n).name for n in sizes]
            scores += [Score(self.subjects[0], run, "fused") for run in runs]
        return _by_name(scores)

    @cached_property
    def ablation_scores(self) -> dict[str, Score]:
        """Scores of the full run and of all variants, by name.

        A variant that does not change the images has those of the full run: its name maps to the
        full run's score.
        """
        scores = {}
        for subject in self.evaluated:
            for kind in ("fused", "lowlevel"):
                full = Score(subject, FULL.name, kind)
                scores[full.name] = full
            for name in self.variants.names:
                variant = Variant.parse(name)
                kind = self.variants.kinds_of(variant)[-1]
                score = Score(subject, Run(variant=variant).name, kind)
                scores[score.name] = Score(subject, self.variants.run_of(variant, kind).name, kind)
        return scores

    @cached_property
    def peer_runs(self) -> list[tuple[str, Run]]:
        """(subject, run) of the peers and of Brain-IT's stage 1, as the settings choose them."""
        peers = self.config["peers"]
        first = slice(peers["n_subjects"])
        amounts = [(subject, FULL) for subject in self.evaluated[first]]
        durations = sorted(Duration.parse(name) for name in peers["durations"])
        amounts += [(subject, d) for subject in self.transfer[first] for d in durations]
        return [
            (subject, Run("baseline", amount, method=method))
            for subject, amount in amounts
            for method in peers["methods"]
        ]

    @cached_property
    def contrastive_runs(self) -> list[tuple[str, Run]]:
        """(subject, run) of the ablation with a contrastive head, if the settings have it."""
        variant = Variant(CONTRASTIVE)
        if not self.variants.changes(variant, "bit_semantic"):
            return []
        subjects = self.evaluated[slice(self.config["peers"]["n_subjects"])]
        return [(subject, Run(variant=variant)) for subject in subjects]

    @cached_property
    def peer_scores(self) -> dict[str, Score]:
        """Scores of the table of peers, by name: theirs, and those of `all` that it compares.

        And of the ablation with a contrastive head.
        """
        scores = [Score(subject, run.name, "semantic") for subject, run in self.peer_runs]
        amounts = dict.fromkeys((subject, run.duration) for subject, run in self.peer_runs)
        compared = [
            score
            for subject, amount in amounts
            for score in self.main_scores.values()
            if score.subject == subject and Run.parse(score.run).duration == amount
        ]
        shown = [*compared, *scores]
        if self.config["brain_search"]["enabled"]:
            runs = dict.fromkeys((score.subject, Run.parse(score.run)) for score in shown)
            shown += [
                Score(subject, run.searched.name, KINDS[-1])
                for subject, run in runs
                if run.method not in (KNN, PLACE_ONLY)
            ]
        shown += [
            self.ablation_scores[Score(subject, run.name, KINDS[-1]).name]
            for subject, run in self.contrastive_runs
        ]
        return _by_name(shown)

    @cached_property
    def every_score(self) -> dict[str, Score]:
        """All scores of `everything`, by name."""
        scores = {**self.main_scores, **self.further_scores, **self.ablation_scores}
        return {**scores, **self.peer_scores}

    def scores_of_table(self, table: str) -> dict[str, Score]:
        """Return the scores that a table is made of, by name."""
        if table in TABLES:
            return self.main_scores
        if table == PEER_TABLE:
            return self.peer_scores
        return self.ablation_scores if table in ABLATION_TABLES else self.every_score

    @cached_property
    def other_runs(self) -> list[tuple[str, Run]]:
        """(subject, run) of the runs that `everything` scores and `all` does not."""
        runs = [tuple(name.split("/")[:2]) for name in self.every_score]
        pairs = [(subject, Run.parse(run)) for subject, run in dict.fromkeys(runs)]
        return [run for run in pairs if run not in self.main_runs]

    @property
    def class_subjects(self) -> list[str]:
        """A subject with the classes of NSD-synthetic's images, which are those of any subject."""
        scored = [s.subject for s in self.further_scores.values() if s.run == NSDSYNTHETIC]
        return scored[:1]

    def members(self, pool: str) -> list[str]:
        """Return the subjects whose data train the models of a pool."""
        return Pool.parse(pool).members(self.subjects)

    def require_clusters(self, variant: Variant) -> None:
        """Raise `PipelineError` where a variant's clusters need a space that the cohort lacks.

        Positions are comparable among NSD's subjects, or among MOSAIC's; an atlas is NSD's.
        """
        method = self.variants.settings_of(variant)["clusters"]["method"]
        datasets = sorted({dataset_of(subject) for subject in self.cohort})
        in_one_space = {"coordinates": (NSD, MOSAIC), "atlas": (NSD,)}.get(method)
        if in_one_space is None or (len(datasets) == 1 and datasets[0] in in_one_space):
            return
        key = "" if variant.is_main else f"ablations.{variant.row}."
        raise PipelineError(
            f"{key}clusters.method",
            f"subjects of one space for {method} (only {' or only '.join(in_one_space)})",
            f"subjects of {', '.join(datasets)}",
            f"set ablations.{variant.row}: null" if key else "leave clusters.method: gmm",
            code="invalid-setting",
        )

    @property
    def shown_runs(self) -> list[tuple[str, Run]]:
        """(subject, run) of the figures' images: the full run and its blind baselines."""
        return [(subject, run) for subject, run in self.main_runs if run.name in SHOWN_RUNS]

    def uses_external(self, variant: Variant = MAIN) -> bool:
        """Return True if a variant trains on external images with predicted fMRI."""
        return bool(self.variants.settings_of(variant)["synthesis"]["enabled"])


def _by_name(scores: Iterable[Score]) -> dict[str, Score]:
    return {score.name: score for score in scores}


def _require_subjects(
    subjects: list[str], evaluated: list[str], transfer: list[str], lab: Mapping[str, str]
) -> None:
    """Check that the chosen subjects exist, are among those of the pool, and enough."""
    is_mixed = not all(map(is_nsd, subjects))
    known = {s for s in [*subjects, *transfer] if is_nsd(s)} | set(lab)
    outside = {s for s in transfer if s in known and (is_mixed or not is_nsd(s))}
    allowed = {"subjects": known, "evaluated": set(subjects), "transfer": {*subjects, *outside}}
    chosen = {"subjects": subjects, "evaluated": evaluated, "transfer": transfer}
    for key, names in chosen.items():
        if others := [name for name in names if name not in allowed[key]]:
            wanted = f"subjects of the pool ({', '.join(subjects)})"
            raise PipelineError(
                f"nsd.{key} or cohort.{key}",
                "subj01 to subj08, or subjects of lab" if key == "subjects" else wanted,
                ", ".join(others),
                f"correct or remove {others[0]}, add it to the subjects of the pool, or name its"
                " folder in the section lab",
                code="unknown-name",
            )
    if not evaluated:
        fix = f"name at least one of {', '.join(subjects)}"
        raise PipelineError(
            "nsd.evaluated", "at least one subject", "none", fix, code="invalid-setting"
        )
    if set(transfer) & set(subjects) and len(subjects) < 2:
        raise PipelineError(
            "nsd.transfer",
            f"another of nsd.subjects than {subjects[0]} to transfer from",
            "none",
            "set nsd.transfer: [], or name more nsd.subjects",
            code="invalid-setting",
        )


def _require_cohort(study: Study) -> None:
    """Check that what a cohort beside NSD asks for exists for all of its subjects."""
    if not study.is_joined:
        return
    if study.is_simulated and not study.nsd_subjects:
        raise PipelineError(
            "run.simulation",
            "false, as no subject of the cohort is simulated",
            "true",
            "set run.simulation: false",
            code="invalid-setting",
        )
    study.require_clusters(MAIN)
