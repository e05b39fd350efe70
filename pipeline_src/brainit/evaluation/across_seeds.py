"""Join finished results of one configuration with several seeds: scores and claims over brains.

In a simulation the subjects follow the seed, so each folder of results is another brain. Means have
the same weight for each brain, and intervals are Student's t over the brains' means: what is
claimed is about the method, so brains are the sample, not images. Verdicts need at least
`LEAST_BRAINS`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from brainit.core.errors import PipelineError
from brainit.core.reading import reading
from brainit.core.settings import Settings, parse_sections
from brainit.data.recons import KINDS
from brainit.evaluation.checks.claims import check_orderings
from brainit.evaluation.checks.comparisons import Images, signed_differences
from brainit.evaluation.checks.peers import check_peers
from brainit.evaluation.checks.scores import check_scores
from brainit.evaluation.checks.verdict import (
    COMPARISON,
    TAIL,
    UNDECIDED,
    Check,
    Difference,
    Interval,
    as_table,
)
from brainit.evaluation.metrics.names import direction_of
from brainit.evaluation.tables.run_scores import ImageScores, MeanScore, Summaries

LEAST_BRAINS = 3
TOO_FEW = "fewer than three brains"
SETTINGS_FILE = "settings.json"
"""The settings of the results, which `make_report` writes beside the report."""
SCORE_COLUMNS = (
    "run",
    "kind",
    "metric",
    "direction",
    "mean",
    "low",
    "high",
    "n_brains",
    "n_images",
)


@dataclass(frozen=True)
class Brain:
    """The scores of one folder of results, and the settings that they were made with."""

    root: Path
    told: Mapping[str, Any]
    files: Mapping[str, Path]
    images: ImageScores
    summaries: Summaries

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.told["run"]["seed"])


def read_brain(root: Path) -> Brain:
    """Read a folder of results.

    Raises `PipelineError` where it lacks its settings or its scores.
    """
    path = root / SETTINGS_FILE
    fix = "finish this run: `snakemake all` writes the file with the report"
    expected = "the settings of finished results"
    with reading(path, expected, fix, ValueError, LookupError, TypeError):
        told = json.loads(path.read_text(encoding="utf-8"))
        subjects, _ = told["nsd"]["subjects"], told["run"]["seed"]
        is_simulation = bool(told["run"]["simulation"])
    if not is_simulation:
        raise PipelineError(
            path,
            "results of a simulation, whose brains follow the seed",
            "run.simulation false",
            "compare repeats of recorded brains by `seeds` of the settings and its table",
            code="wrong-settings",
        )
    files: dict[str, Path] = {}
    for subject in subjects:
        for scores in sorted((root / subject / "metrics").glob("*.csv")):
            run, _, kind = scores.stem.rpartition("_")
            if run and kind in KINDS:
                files[f"{subject}/{run}/{kind}"] = scores
    if not files:
        expected, fix = "scores in SUBJECT/metrics", "finish this run: `snakemake all`"
        raise PipelineError(root, expected, "none", fix, code="missing-data")
    means = {name: path.with_name(f"{path.stem}_summary.csv") for name, path in files.items()}
    return Brain(root, told, files, ImageScores(files), Summaries(means))


def require_alike(brains: Sequence[Brain]) -> None:
    """Raise `PipelineError` unless the brains have different seeds and no other difference."""
    first = brains[0]
    for number, brain in enumerate(brains[1:], start=1):
        other = [name for name in _differing(first.told, brain.told) if name != "run.seed"]
        if other:
            raise PipelineError(
                brain.root / SETTINGS_FILE,
                f"the settings of {first.root}, but for run.seed",
                f"other values of {', '.join(other)}",
                "join results of one configuration; make the others anew with its settings",
                code="inconsistent-inputs",
            )
        same = [earlier.root for earlier in brains[:number] if earlier.seed == brain.seed]
        if same:
            found = f"run.seed {brain.seed}, as in {same[0]}"
            fix = "name each folder once, and give each run another seed"
            expected = "another seed in each folder"
            raise PipelineError(brain.root, expected, found, fix, code="duplicate-data")


def require_same_scores(brains: Sequence[Brain]) -> None:
    """Raise `PipelineError` unless every brain has the same runs, kinds and metrics."""
    first = brains[0]
    expected = _columns(first)
    for brain in brains[1:]:
        differing = sorted(expected ^ _columns(brain))
        if differing:
            raise PipelineError(
                brain.root,
                f"the scores of {first.root}",
                f"only one of both has {', '.join(differing)}",
                "finish both runs: `snakemake all`",
                code="missing-data",
            )


def _columns(brain: Brain) -> set[str]:
    """Return subject/run/kind/metric of all scores of a brain."""
    return {
        f"{name}/{metric}"
        for name, path in brain.files.items()
        for metric in pd.read_csv(path, nrows=0).columns
    }


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return the names section.key of the settings that differ."""
    names = []
    for section in sorted({*first, *second}):
        pair = [told.get(section) for told in (first, second)]
        if all(isinstance(part, Mapping) for part in pair):
            ours, theirs = (dict(part or {}) for part in pair)
            keys = sorted({*ours, *theirs})
            names += [f"{section}.{key}" for key in keys if ours.get(key) != theirs.get(key)]
        elif pair[0] != pair[1]:
            names.append(section)
    return names


@dataclass(frozen=True)
class SeveralBrains:
    """The runs of several brains, as `Runs` of checks."""

    brains: tuple[Brain, ...]
    settings: Settings

    @property
    def resampled(self) -> str:
        """What the intervals are over, in words."""
        return f"{len(self.brains)} brains"

    def subjects(self, *compared: Images) -> tuple[str, ...]:
        """Return the subjects that have all of `compared` in every brain."""
        sets = [
            set(brain.images.subjects(one.run, one.kind))
            for brain in self.brains
            for one in compared
        ]
        return tuple(sorted(set.intersection(*sets)))

    def metrics(self, run: str) -> tuple[str, ...]:
        """Return the metrics of a run, from early taps to late ones."""
        return self.brains[0].images.metrics(run)

    def values(self, metric: str, one: Images) -> list[NDArray[np.float64]] | None:
        """Return each brain's scores of its images, means over subjects; None if one has none."""
        subjects, found = self.subjects(one), []
        for brain in self.brains:
            values = brain.images.values(subjects, one.run, one.kind, metric)
            if values is None:
                return None
            found.append(np.asarray(values, dtype=np.float64))
        return found

    def score(self, metric: str, one: Images) -> Interval | None:
        """Return the mean over brains and images, with its interval over both."""
        groups = self.values(metric, one)
        if groups is None or not all(np.isfinite(group).any() for group in groups):
            return None
        return over_brains(groups)[0]

    def chance(self, metric: str, one: Images) -> MeanScore | None:
        """Return the mean chance level over brains."""
        subjects = self.subjects(one)
        found = [b.summaries.mean(one.run, one.kind, metric, subjects) for b in self.brains]
        known = [score for score in found if score is not None]
        if len(known) < len(found):
            return None
        return replace(
            known[0],
            mean=float(np.mean([score.mean for score in known])),
            null_mean=float(np.mean([score.null_mean for score in known])),
            null_p999=float(np.mean([score.null_p999 for score in known])),
            null_sd=float(np.mean([score.null_sd for score in known])),
            n_images=min(score.n_images for score in known),
        )

    def difference(
        self, metric: str, first: Images, second: Images, subjects: Sequence[str]
    ) -> Difference:
        """Return the difference on one metric; unknown if a brain lacks it in one of both."""
        groups = [
            signed_differences(brain.images, metric, first, second, subjects)
            for brain in self.brains
        ]
        known = [group for group in groups if group is not None]
        if len(known) < len(groups):
            return Difference.unknown(metric)
        return Difference(metric, *over_brains(known))


def over_brains(groups: Sequence[NDArray[np.float64]]) -> tuple[Interval, float, int]:
    """Return mean and 95 % interval over brains, its standard error and degrees of freedom.

    Each group holds the scores of one brain's images, NaN left out; each brain's mean has the same
    weight, and Student's t with n - 1 degrees of freedom gives the interval. The brains' means
    differ by their images' noise, too, so that it is counted. NaN ends for one brain.
    """
    means = np.array([np.nanmean(group) for group in groups])
    n_brains, value = len(means), float(means.mean())
    if n_brains < 2:
        return Interval(value, np.nan, np.nan), np.nan, 0
    error = float(means.std(ddof=1) / np.sqrt(n_brains))
    reach = float(student.ppf(1.0 - TAIL, n_brains - 1)) * error
    return Interval(value, value - reach, value + reach), error, n_brains - 1


def join_seeds(roots: Sequence[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the scores of all runs over the brains of `roots`, and the checks of their claims.

    Folders are taken by their seeds, in whatever order they are named. With fewer than
    `LEAST_BRAINS` each verdict is "undecided". Raises `PipelineError` where the folders are of
    different configurations, of the same seed, or have other runs or metrics.
    """
    brains = tuple(sorted((read_brain(root) for root in roots), key=lambda brain: brain.seed))
    require_alike(brains)
    require_same_scores(brains)
    runs = SeveralBrains(brains, parse_sections(dict(brains[0].told)))
    checks = [*check_scores(runs), *check_orderings(runs), *check_peers(runs)]
    if len(brains) < LEAST_BRAINS:
        checks = [_too_few(check) for check in checks]
    return _scores(runs), as_table(checks)


def _too_few(check: Check) -> Check:
    if check.verdict == COMPARISON:
        return check
    return replace(check, verdict=UNDECIDED, explanation=f"{TOO_FEW}; {check.explanation}")


def _scores(runs: SeveralBrains) -> pd.DataFrame:
    rows = []
    for run in runs.brains[0].images.runs():
        for kind in KINDS:
            one = Images(run, kind)
            if not runs.subjects(one):
                continue
            for metric in runs.metrics(run):
                score, groups = runs.score(metric, one), runs.values(metric, one)
                if score is not None and groups is not None:
                    n_images = sum(len(group) for group in groups)
                    head = (run, kind, metric, direction_of(metric))
                    rows.append((*head, *score.ends, len(groups), n_images))
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))


def as_markdown(scores: pd.DataFrame, checks: pd.DataFrame, seeds: Sequence[int]) -> str:
    """Return both tables as Markdown: a row of scores for each metric, a column for each run."""
    text = [
        f"# Scores of {len(seeds)} brains (simulation; seeds {', '.join(str(s) for s in seeds)})",
        "",
        "Mean over brains, and its 95 % interval: Student's t over the brains' means.",
    ]
    for kind, of_kind in scores.groupby("kind", sort=False):
        runs = list(dict.fromkeys(of_kind["run"]))
        cells = {
            (row["run"], row["metric"]): f"{row['mean']:.4g} [{row['low']:.4g}, {row['high']:.4g}]"
            for row in of_kind.to_dict("records")
        }
        rows = [
            [str(metric), *(cells.get((run, metric), "–") for run in runs)]
            for metric in dict.fromkeys(of_kind["metric"])
        ]
        text += ["", f"## {kind} images", "", *_grid(["metric", *runs], rows)]
    rows = [
        [
            str(row["check"]),
            f"{row['value']:.4g} [{row['low']:.4g}, {row['high']:.4g}]",
            f"{row['threshold']:.4g}",
            str(row["verdict"]),
        ]
        for row in checks.to_dict("records")
    ]
    too_few = [f"undecided: {TOO_FEW}", ""] if len(seeds) < LEAST_BRAINS else []
    head = ["claim", "value", "threshold", "verdict"]
    return "\n".join([*text, "", "## Claims", "", *too_few, *_grid(head, rows), ""])


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
