"""Paired comparisons of two runs over the same images, and the claims made of them.

A difference is the mean over images (several subjects: of their mean) of the first run's score
minus the second's, signed so that above 0 the first is better. Its interval is the bootstrap over
images, with the draws of the tables' differences. It covers the choice of images for the brains at
hand; a claim about the method needs several brains (`brainit seeds`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.settings import Settings
from brainit.core.streams import numpy_generator
from brainit.evaluation.checks.verdict import (
    JOINT_RULE,
    Check,
    Difference,
    Interval,
    above,
    joint_verdict,
    undecided,
)
from brainit.evaluation.metrics.names import (
    OBJECT_AUC,
    SAME_PLACE,
    direction_of,
    is_retrieval,
    is_two_way,
)
from brainit.evaluation.metrics.statistics import mean_interval, resampled_means
from brainit.evaluation.tables.run_scores import ImageScores, MeanScore, Summaries


@dataclass(frozen=True)
class Images:
    """One kind of images of a run, such as the fused ones of 40h."""

    run: str
    kind: str = "fused"

    def __str__(self) -> str:
        return f"{self.run} {self.kind}"


@runtime_checkable
class Runs(Protocol):
    """Scored runs of one brain or of several, and the differences of two of them."""

    @property
    def settings(self) -> Settings:
        """The settings of the runs."""
        ...

    @property
    def resampled(self) -> str:
        """What the intervals resample, in words."""
        ...

    def subjects(self, *compared: Images) -> tuple[str, ...]:
        """Return the subjects that have all of `compared`."""
        ...

    def metrics(self, run: str) -> tuple[str, ...]:
        """Return the metrics of a run, from early taps to late ones."""
        ...

    def score(self, metric: str, one: Images) -> Interval | None:
        """Return the mean score of all subjects that have `one`, None without any."""
        ...

    def chance(self, metric: str, one: Images) -> MeanScore | None:
        """Return the chance level of a score, None without any."""
        ...

    def difference(
        self, metric: str, first: Images, second: Images, subjects: Sequence[str]
    ) -> Difference:
        """Return the difference on one metric; unknown if one of both lacks it."""
        ...


@dataclass(frozen=True)
class Comparisons:
    """The runs of one results folder, compared over their images."""

    images: ImageScores
    summaries: Summaries
    settings: Settings
    resampled: str = "images"

    def subjects(self, *compared: Images) -> tuple[str, ...]:
        """Return the subjects that have all of `compared`."""
        sets = [set(self.images.subjects(one.run, one.kind)) for one in compared]
        return tuple(sorted(set.intersection(*sets)))

    def metrics(self, run: str) -> tuple[str, ...]:
        """Return the metrics of a run, from early taps to late ones."""
        return self.images.metrics(run)

    def score(self, metric: str, one: Images) -> Interval | None:
        """Return the mean over subjects and images, with its interval over images."""
        values = self.images.values(self.subjects(one), one.run, one.kind, metric)
        if values is None:
            return None
        found = mean_interval(np.asarray(values, dtype=np.float64), metric, self.settings)
        return Interval(found.mean, found.ci_low, found.ci_high)

    def chance(self, metric: str, one: Images) -> MeanScore | None:
        """Return the mean chance level over subjects."""
        return self.summaries.mean(one.run, one.kind, metric, self.subjects(one))

    def difference(
        self, metric: str, first: Images, second: Images, subjects: Sequence[str]
    ) -> Difference:
        """Return the difference on one metric; unknown if one of both lacks it."""
        differences = signed_differences(self.images, metric, first, second, subjects)
        if differences is None:
            return Difference.unknown(metric)
        generator = numpy_generator(self.settings.run.seed, "paired", metric)
        means = resampled_means(differences, self.settings.evaluation.n_bootstrap, generator)
        return Difference.of(metric, float(differences.mean()), means)


def differences_of(
    runs: Runs, first: Images, second: Images, metrics: Sequence[str], subjects: Sequence[str]
) -> list[Difference]:
    """Return the difference on each of `metrics` that both have."""
    found = [runs.difference(metric, first, second, subjects) for metric in metrics]
    return [d for d in found if np.isfinite(d.interval.value)]


def signed_differences(
    images: ImageScores, metric: str, first: Images, second: Images, subjects: Sequence[str]
) -> NDArray[np.float64] | None:
    """Return first minus second of each image that both have, above 0 where the first is better.

    None if one of both lacks the metric, or with fewer than two images.
    """
    pair = [images.values(subjects, one.run, one.kind, metric) for one in (first, second)]
    if pair[0] is None or pair[1] is None:
        return None
    joined = pd.concat(pair, axis=1, join="inner").to_numpy(dtype=np.float64)
    sign = -1.0 if direction_of(metric) == "lower" else 1.0
    differences = sign * (joined[:, 0] - joined[:, 1])
    known: NDArray[np.float64] = differences[np.isfinite(differences)]
    return known if len(known) > 1 else None


def joint_claim(
    name: str, differences: Sequence[Difference], stated: Sequence[str], what: str
) -> Check:
    """Return the claim "better on the `stated` metrics, worse on none", by `joint_verdict`.

    Value and interval are those of the metric that decides; the explanation lists every metric that
    is not above 0.
    """
    if not differences or not stated:
        return undecided(name, f"{what}: no metric to compare")
    verdict, deciding = joint_verdict(differences, stated)
    n_above = sum(d.interval.low > 0 for d in differences)
    rest = [str(d) for d in differences if not d.interval.low > 0]
    text = (
        f"{what}: above 0 on {n_above} of {len(differences)} metrics; stated: {', '.join(stated)};"
        f" {JOINT_RULE}. Deciding: {deciding.metric}"
    )
    text += f". Not above 0: {'; '.join(rest)}" if rest else ""
    shown = above(name, deciding.interval, 0.0, text)
    return Check(**{**vars(shown), "verdict": verdict})


def last_two_way(metrics: Sequence[str]) -> str | None:
    """Return the two-way identification on the last tap, or None without any."""
    return next((metric for metric in reversed(metrics) if is_two_way(metric)), None)


def stated_at_full_data(metrics: Sequence[str], is_simulation: bool) -> tuple[str, ...]:
    """Return the metrics on which the method is to beat each baseline with all data.

    The last tap's two-way identification, retrieval and, in a simulation, identification at the
    same place and presence of objects, scored or not: without them the claim is undecided.
    """
    last = last_two_way(metrics)
    found = tuple(m for m in metrics if m == last or is_retrieval(m))
    return (*found, SAME_PLACE, OBJECT_AUC) if is_simulation else found


PAPER_FAMILIES = (
    ("PixCorr",),
    ("SSIM",),
    ("Alex(2)", "Alex(5)"),
    ("Incep", "CLIP"),
    ("Eff", "SwAV"),
)
"""Metrics of the paper that measure alike: pixels, structure, early and late features, distance."""


def counterpart(family: Sequence[str], metrics: Sequence[str]) -> str | None:
    """Return the metric among a simulation's `metrics` that stands for a family of the paper's.

    Early identification is that on the first tap, late that on the last; distances are the last
    tap's. None where there is none.
    """
    if family[0] in metrics:
        return family[0]
    two_way = [metric for metric in metrics if is_two_way(metric)]
    distances = [metric for metric in metrics if metric.endswith(".distance")]
    chosen = {"Alex(2)": two_way[:1], "Incep": two_way[-1:], "Eff": distances[-1:]}
    return next(iter(chosen.get(family[0], [])), None)


def paper_like(metrics: Sequence[str]) -> tuple[str, ...]:
    """Return those of `metrics` that are the paper's or stand for them, each once."""
    paper = [metric for family in PAPER_FAMILIES for metric in family]
    if last_two_way(metrics) in paper:
        return tuple(metric for metric in paper if metric in metrics)
    found = [counterpart(family, metrics) for family in PAPER_FAMILIES]
    return tuple(dict.fromkeys(metric for metric in found if metric is not None))
