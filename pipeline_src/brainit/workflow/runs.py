"""Names of durations, pools, variants and runs: parsed and written here and nowhere else.

A run decodes one subject. Its name says which data the models saw: `40h` (the pool's models),
`40h_k8` (a variant of them), `1h`, `15min`, ... (transfer to a new subject), `1h_scratch` (one
subject's hour alone, or another amount), `first2` (models of fewer subjects), `nsdsynthetic`
(other images), `40h_ridge`, `1h_knn`, ... (a baseline without trained models, from the subject's
data alone), or `40h_mindeye2`, `1h_lora_skip`, ... (a peer, another paper's decoder). With
`_search` at its end, `40h_search`, `1h_ridge_search`, ..., it is the brain-consistent search from
the run before.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from brainit.core.errors import PipelineError

MINUTES_PER_SESSION, TRIALS_PER_SESSION = 60, 750
"""NSD's sessions of an hour (Allen et al. 2022)."""
N_SESSIONS = 40
"""Sessions of a full recording: `40h` is all the data that a subject has."""

PARTIAL_DURATION = r"15min|30min|[1-9][0-9]{1,5}trials|[1-9]h|[123][0-9]h"
"""Pattern of the durations of transfer; the settings accept these."""
DURATION = rf"{PARTIAL_DURATION}|{N_SESSIONS}h"
"""Pattern of every duration."""
VARIANT = (
    r"(?!(main|scratch|ridge|knn|place_only|stage1|mindeye2|lora_skip|mindbridge|(.*_)?search)$)"
    r"[a-z][a-z0-9]*(_[a-z0-9]+)*"
)
"""Pattern of an ablation's name; the settings accept these."""
SUBJECT = r"[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9][A-Za-z0-9-]*)?"
"""Pattern of a subject's name in paths; one of a data set beside NSD is `DATASET-MEMBER`."""
FIRST_POOL = r"first[1-9][0-9]?"
NSDSYNTHETIC = "nsdsynthetic"
NSDIMAGERY = ("nsdimagery_vision", "nsdimagery_imagery")
"""Runs of NSD-Imagery: pictures that were seen, and that were imagined."""

RIDGE, KNN, PLACE_ONLY = "ridge", "knn", "place_only"
"""Baselines: ridge regression, nearest training images, and a simulation's oracle of places."""
STAGE1 = "stage1"
"""Brain-IT's stage 1 alone: its tokens and the pretrained generator, as the peers have."""
CONTRASTIVE = "contrastive"
"""An ablation with a contrastive head, if the settings have it: its tokens retrieve, too."""
PEERS = ("mindeye2", "lora_skip", "mindbridge")
"""Other papers' decoders of semantic tokens."""
BASES = {"mindeye2": "mindeye2", "lora_skip": "mindeye2", "mindbridge": "mindbridge"}
"""The decoder of a pool that each peer's transfer starts from."""
PREDICTED = rf"({DURATION})_({'|'.join((STAGE1, *PEERS))})"
"""Pattern of the runs of peers and of stage 1."""
BASELINE = rf"({DURATION})_({RIDGE}|{KNN})|{N_SESSIONS}h_{PLACE_ONLY}|{PREDICTED}"
"""Pattern of the runs of baselines and peers."""
SCRATCH = rf"({DURATION})_scratch"
"""Pattern of the runs of models that saw nothing but an amount of the subject's own data."""

SEARCH = "search"
"""End of the name of a run whose images a brain-consistent search found."""

_AMOUNT = re.compile(r"(\d+)(min|trials|h)")
_SEED = re.compile(r"(?:(?P<row>.+)_)?seed(?P<seed>\d+)")


@dataclass(frozen=True, order=True)
class Duration:
    """An amount of one subject's data, ordered by the minutes of its recording."""

    minutes: int
    name: str

    @classmethod
    def parse(cls, name: str) -> "Duration":
        """Read `15min`, `30min`, `450trials` or another number of trials, or `1h` to `40h`.

        Raises `PipelineError` for another name.
        """
        if not cls.is_name(name):
            raise PipelineError(
                "duration",
                f"15min, 30min, 10trials to 999999trials or 1h to {N_SESSIONS}h",
                name,
                "write e.g. 450trials in transfer.durations of the settings or in --duration",
                code="unknown-name",
            )
        amount = _AMOUNT.fullmatch(name)
        assert amount is not None
        number, unit = int(amount[1]), amount[2]
        if unit == "trials":
            return cls(number * MINUTES_PER_SESSION // TRIALS_PER_SESSION, name)
        return cls(number * (MINUTES_PER_SESSION if unit == "h" else 1), name)

    @staticmethod
    def is_name(text: str) -> bool:
        """Return True if `text` names a duration."""
        return re.fullmatch(DURATION, text) is not None

    @property
    def is_full(self) -> bool:
        """True for all the data that a subject has."""
        return self.sessions == N_SESSIONS

    @property
    def sessions(self) -> int:
        """Whole sessions: hours of recording; 0 for less than one and for numbers of trials."""
        if self.is_of_trials:
            return 0
        return self.minutes // MINUTES_PER_SESSION

    @property
    def is_of_trials(self) -> bool:
        """True for a number of trials; other durations are times."""
        return self.name.endswith("trials")

    @property
    def n_trials(self) -> int:
        """Trials of this duration in NSD, which has 750 in an hour."""
        if self.is_of_trials:
            return int(self.name.removesuffix("trials"))
        return round(self.minutes * TRIALS_PER_SESSION / MINUTES_PER_SESSION)

    @property
    def label(self) -> str:
        """The duration as text: `15 min`, `450 trials`, `2 h`."""
        return re.sub(r"(?<=\d)(?=[a-z])", " ", self.name)


FULL = Duration.parse(f"{N_SESSIONS}h")
ONE_HOUR = Duration.parse("1h")


@dataclass(frozen=True)
class Pool:
    """The subjects whose data train a set of models.

    `kind` is `all`, `first` (the first `n_subjects`), `without` (all but `subject`) or `scratch`
    (`amount` of `subject` alone).
    """

    kind: Literal["all", "first", "without", "scratch"] = "all"
    subject: str = ""
    n_subjects: int = 0
    amount: Duration = ONE_HOUR

    @classmethod
    def parse(cls, name: str) -> "Pool":
        """Read `all`, `first2`, `without_subj01`, `scratch_subj01_1h` or another amount.

        Raises `PipelineError` for another name.
        """
        if name == "all":
            return cls()
        if re.fullmatch(FIRST_POOL, name):
            return cls("first", n_subjects=int(name.removeprefix("first")))
        if match := re.fullmatch(rf"without_({SUBJECT})", name):
            return cls("without", match[1])
        if match := re.fullmatch(rf"scratch_({SUBJECT})_({DURATION})", name):
            return cls("scratch", match[1], amount=Duration.parse(match[2]))
        raise PipelineError(
            "pool",
            "all, first1 to first99, without_SUBJECT or scratch_SUBJECT_DURATION",
            name,
            "correct the pool in the path of the target, or --pool of the step",
            code="unknown-name",
        )

    @property
    def name(self) -> str:
        """The pool's name, as in the paths of its models."""
        match self.kind:
            case "first":
                return f"first{self.n_subjects}"
            case "without":
                return f"without_{self.subject}"
            case "scratch":
                return f"scratch_{self.subject}_{self.amount.name}"
            case _:
                return "all"

    @property
    def duration(self) -> Duration:
        """How much of each subject's data the pool uses."""
        return self.amount if self.kind == "scratch" else FULL

    def members(self, subjects: Sequence[str]) -> list[str]:
        """Return the pool's subjects; `subjects` are those of the pool `all`, in order."""
        match self.kind:
            case "first":
                return list(subjects[: self.n_subjects])
            case "without":
                return [subject for subject in subjects if subject != self.subject]
            case "scratch":
                return [self.subject]
            case _:
                return list(subjects)


@dataclass(frozen=True)
class Variant:
    """One setting of the method: the full one (`main`), an ablation, or a repeat of either.

    `row` is `main` or the name of an ablation; `seed` is that of a repeat, else None.
    """

    row: str = "main"
    seed: int | None = None

    @classmethod
    def parse(cls, name: str) -> "Variant":
        """Read `main`, `k8`, `seed43` (a repeat of main) or `k8_seed43`.

        Raises `PipelineError` for another name.
        """
        if match := _SEED.fullmatch(name):
            row, seed = match["row"] or "main", int(match["seed"])
            if row != "main" and str(seed) == match["seed"] and re.fullmatch(VARIANT, row):
                return cls(row, seed)
            if row == "main" and not match["row"] and str(seed) == match["seed"]:
                return cls(row, seed)
        if name == "main" or re.fullmatch(VARIANT, name):
            return cls(name)
        raise PipelineError(
            "variant",
            "main, an ablation of the settings, or one of them with _seed and a number",
            name,
            "correct the variant in the path of the target, or add it to the section `ablations`",
            code="unknown-name",
        )

    @property
    def name(self) -> str:
        """The variant's name, as in the paths of its models and runs."""
        if self.seed is None:
            return self.row
        return f"seed{self.seed}" if self.row == "main" else f"{self.row}_seed{self.seed}"

    @property
    def is_main(self) -> bool:
        """True for the full method with the seed of the run."""
        return self.name == "main"


MAIN = Variant()


@dataclass(frozen=True)
class Run:
    """One way to decode a subject.

    `kind` is `pooled` (all data trained the models), `nsdsynthetic` (the same models, the images of
    NSD-synthetic), `nsdimagery` (the same models, the images of NSD-Imagery, seen or imagined:
    `method`), `transfer` (models of a pool without the subject, adapted to `duration` of its data),
    `scratch` (models of the subject's `duration` alone), `first` (models of the first `n_subjects`)
    or `baseline` (`method`, `RIDGE`, `KNN` or `PLACE_ONLY`, without trained models, or `STAGE1` or
    one of `PEERS`, whose predicted tokens meet the pretrained generator). Only pooled runs have a
    variant. `is_searched` says that a brain-consistent search chose among samples of the run.
    """

    kind: Literal[
        "pooled", "nsdsynthetic", "nsdimagery", "transfer", "scratch", "first", "baseline"
    ] = "pooled"
    duration: Duration = FULL
    variant: Variant = MAIN
    n_subjects: int = 0
    method: str = ""
    is_searched: bool = False

    @classmethod
    def parse(cls, name: str) -> "Run":
        """Read `40h`, `40h_k8`, `1h`, `1h_scratch`, `first2`, `nsdsynthetic` or `40h_ridge`.

        Each may end in `_search`, where a generator samples. Raises `PipelineError` for another
        name.
        """
        if name.endswith(f"_{SEARCH}"):
            return cls.parse(name.removesuffix(f"_{SEARCH}")).searched
        if name == NSDSYNTHETIC:
            return cls("nsdsynthetic")
        if name in NSDIMAGERY:
            return cls("nsdimagery", method=name.partition("_")[2])
        if re.fullmatch(FIRST_POOL, name):
            return cls("first", n_subjects=int(name.removeprefix("first")))
        if match := re.fullmatch(SCRATCH, name):
            return cls("scratch", Duration.parse(match[1]))
        if name == FULL.name:
            return cls()
        if Duration.is_name(name):
            return cls("transfer", Duration.parse(name))
        amount, _, variant = name.partition("_")
        if re.fullmatch(BASELINE, name):
            return cls("baseline", Duration.parse(amount), method=variant)
        if amount == FULL.name and variant != MAIN.name:
            return cls(variant=Variant.parse(variant))
        raise PipelineError(
            "run",
            f"a duration, {FULL.name}_VARIANT, a duration with _scratch, first1 to first99,"
            f" {NSDSYNTHETIC}, {', '.join(NSDIMAGERY)}, a duration with _{RIDGE}, _{KNN}, _{STAGE1}"
            f" or _{', _'.join(PEERS)}, or {FULL.name}_{PLACE_ONLY}",
            name,
            "correct the run in the path of the target, or --run of the step",
            code="unknown-name",
        )

    @property
    def name(self) -> str:
        """The run's name, as in `recon_{run}` and in the names of its scores."""
        return f"{self._own_name}_{SEARCH}" if self.is_searched else self._own_name

    @property
    def searched(self) -> "Run":
        """The brain-consistent search from this run.

        Raises `PipelineError` for a run without samples, and for a search.
        """
        if self.is_searched or self.method in (KNN, PLACE_ONLY):
            raise PipelineError(
                "run",
                f"a run whose images a generator samples, before _{SEARCH}",
                self.name,
                f"name a search after a decoder, such as {FULL.name}_{SEARCH}",
                code="unknown-name",
            )
        return replace(self, is_searched=True)

    @property
    def base(self) -> "Run":
        """The run that a search starts from; the run itself where it is none."""
        return replace(self, is_searched=False)

    @property
    def _own_name(self) -> str:
        match self.kind:
            case "nsdsynthetic":
                return NSDSYNTHETIC
            case "nsdimagery":
                return f"nsdimagery_{self.method}"
            case "first":
                return f"first{self.n_subjects}"
            case "scratch":
                return f"{self.duration.name}_scratch"
            case "baseline":
                return f"{self.duration.name}_{self.method}"
            case _ if self.variant.is_main:
                return self.duration.name
            case _:
                return f"{self.duration.name}_{self.variant.name}"

    @property
    def is_pooled(self) -> bool:
        """True if all data of the pool `all` trained the models."""
        return self.kind in ("pooled", "nsdsynthetic", "nsdimagery")

    @property
    def is_transfer(self) -> bool:
        """True where models of other subjects are adapted to this one."""
        return self.kind == "transfer"

    @property
    def is_scratch(self) -> bool:
        """True where the models saw nothing but this subject's `duration`."""
        return self.kind == "scratch"

    @property
    def is_nsdsynthetic(self) -> bool:
        """True where the images are those of NSD-synthetic."""
        return self.kind == "nsdsynthetic"

    @property
    def is_of_other_session(self) -> bool:
        """True where the images are of a session beside NSD's own: its folder is the run's name."""
        return self.kind in ("nsdsynthetic", "nsdimagery")

    @property
    def is_of_fewer_subjects(self) -> bool:
        """True where the models are those of the first `n_subjects`."""
        return self.kind == "first"

    @property
    def is_baseline(self) -> bool:
        """True for baselines and peers: the generator is the pretrained one."""
        return self.kind == "baseline"

    @property
    def is_peer(self) -> bool:
        """True for peers and stage 1, which have semantic images alone."""
        return self.method in (STAGE1, *PEERS)

    def pool(self, subject: str) -> Pool:
        """Return the pool whose models decode the run of `subject`, or are adapted to it.

        A baseline has none.
        """
        assert not self.is_baseline, self.name
        match self.kind:
            case "first":
                return Pool("first", n_subjects=self.n_subjects)
            case "scratch":
                return Pool("scratch", subject, amount=self.duration)
            case "transfer":
                return Pool("without", subject)
            case _:
                return Pool()
