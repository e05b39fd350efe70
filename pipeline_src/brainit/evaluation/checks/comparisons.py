"""Paired comparisons of two runs over the same images, and the claims made of them.

A difference is the mean over images (several subjects: of their mean) of the first run's score
minus the second's, signed so that above 0 the first is better. Its interval is the bootstrap over
images, with the draws of the tables' differences. It covers the choice of images for the brains at
hand; a claim about the method needs several brains (`brainit seeds`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainit.core.settings import Settings
from brainit.core.streams import numpy_generator
from brainit.evaluation.checks.verdict import (
    JOINT_RULE,
    Check,
    Difference,
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
from brainit.evaluation.metrics.statistics import resampled_means
from brainit.evaluation.tables.run_scores import ImageScores


@dataclass(frozen=True)
class Images:
    """One kind of images of a run, such as the fused ones of 40h."""

    run: str
    kind: str = "fused"

    def __str__(self) -> str:
        return f"{self.run} {self.kind}"


@dataclass(frozen=True)
class Comparisons:
    """Compares runs by the scores of their images."""

    images: ImageScores
    settings: Settings

    def subjects(self, *compared: Images) -> tuple[str, ...]:
        """Return the subjects that have all of `compared`."""
        sets = [set(self.images.subjects(one.run, one.kind)) for one in compared]
        return tuple(sorted(set.intersection(*sets)))

    def difference(
        self, metric: str, first: Images, second: Images, subjects: Sequence[str]
    ) -> Difference:
        """Return the difference on one metric; unknown if one of both lacks it."""
        pair = [self.images.values(subjects, one.run, one.kind, metric) for one in (first, second)]
        if pair[0] is None or pair[1] is None:
            return Difference.unknown(metric)
        joined = pd.concat(pair, axis=1, join="inner").to_numpy(dtype=np.float64)
        return difference_of(metric, joined[:, 0] - joined[:, 1], self.settings)

    def differences(
        self, first: Images, second: Images, metrics: Sequence[str], subjects: Sequence[str]
    ) -> list[Difference]:
        """Return the difference on each of `metrics` that one of both has."""
        found = [self.difference(metric, first, second, subjects) for metric in metrics]
        return [d for d in found if np.isfinite(d.interval.value)]


def difference_of(
    metric: str,
    differences: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]",
    settings: Settings,
) -> Difference:
    """Return the mean of the images' `differences`, first minus second, with its interval."""
    sign = -1.0 if direction_of(metric) == "lower" else 1.0
    signed = sign * differences[np.isfinite(differences)]
    if len(signed) < 2:
        return Difference.unknown(metric)
    generator = numpy_generator(settings.run.seed, "paired", metric)
    means = resampled_means(signed, settings.evaluation.n_bootstrap, generator)
    return Difference.of(metric, float(signed.mean()), means)


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


def stated_at_full_data(metrics: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics on which the method is to beat each baseline with all data.

    The last tap's two-way identification, retrieval and, in a simulation, identification at the
    same place and presence of objects.
    """
    last = last_two_way(metrics)
    ours = (SAME_PLACE, OBJECT_AUC)
    return tuple(m for m in metrics if m == last or m in ours or is_retrieval(m))


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
