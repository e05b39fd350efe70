"""Checks that read the scores of the runs alone: identification, orderings, amounts of data."""

import math
from collections.abc import Sequence

from brainit.evaluation.checks.verdict import Check, at_least, within
from brainit.evaluation.metrics.names import direction_of, is_two_way
from brainit.evaluation.tables.rows import FROM_SCRATCH
from brainit.evaluation.tables.run_scores import Summaries

LEAST_TWO_WAY = 90.0
LEAST_TEST_IMAGES = 100
NULL_TOLERANCE = 0.5
FULL_BEATS_HOUR = "40h_beats_1h"
ALIKE = 50.0
"""Percent of metrics that a run wins on average against one that is alike."""


def check_scores(summaries: Summaries) -> list[Check]:
    """Return every check on scores for whose runs there are summaries.

    All figures are means over the subjects that have the runs compared.
    """
    return [
        *_identification(summaries),
        *_orderings(summaries),
        *check_transfer(summaries, summaries.metrics()),
        *_amounts(summaries, "40h", "1h", FULL_BEATS_HOUR, summaries.metrics()),
    ]


def check_transfer(summaries: Summaries, metrics: Sequence[str]) -> list[Check]:
    """Return the check that transfer beats a model from scratch on `metrics`, where both ran."""
    return _amounts(summaries, "1h", FROM_SCRATCH, "transfer_beats_scratch", metrics)


def two_way_metrics(summaries: Summaries) -> list[str]:
    """Return the identification metrics, from early taps to late ones."""
    return [metric for metric in summaries.metrics() if is_two_way(metric)]


def _identification(summaries: Summaries) -> list[Check]:
    checks: list[Check] = []
    n_images = []
    for metric in two_way_metrics(summaries):
        found = summaries.mean("40h", "fused", metric)
        if found is None:
            continue
        n_images.append(found.n_images)
        name = f"fused_{metric}"
        checks += [
            at_least(
                name,
                found.mean,
                found.null_p999,
                LEAST_TWO_WAY,
                f"two-way identification of {found.n_images} held-out shared images, percent; "
                "null: 99.9th percentile of permutations of reconstruction against target",
            ),
            within(
                f"{name}_null_mean",
                found.null_mean,
                50.0,
                NULL_TOLERANCE,
                "mean of those permutations; threshold: the largest distance from 50",
            ),
        ]
    if n_images:
        text = "test images of the smallest subject"
        count = float(min(n_images))
        checks.append(at_least("n_test_images", count, math.nan, LEAST_TEST_IMAGES, text))
    return checks


def _orderings(summaries: Summaries) -> list[Check]:
    last = two_way_metrics(summaries)[-1:]
    pairs = [("PixCorr", "lowlevel", "fused"), ("PixCorr", "fused", "semantic")]
    pairs += [(metric, kind, "lowlevel") for metric in last for kind in ("fused", "semantic")]
    checks = []
    for metric, better, worse in pairs:
        first, second = (summaries.mean("40h", kind, metric) for kind in (better, worse))
        if first is not None and second is not None:
            checks.append(
                at_least(
                    f"{metric}_{better}_above_{worse}",
                    first.mean - second.mean,
                    first.null_mean - second.null_mean,
                    0.0,
                    f"{metric} of {better} ({first.mean:.4g}) less that of {worse} "
                    f"({second.mean:.4g}), 40 h; null: the same with reconstructions shuffled "
                    "against images",
                    strict=True,
                )
            )
    return checks


def _amounts(
    summaries: Summaries, better: str, worse: str, name: str, metrics: Sequence[str]
) -> list[Check]:
    """Return the check that one run beats another on each of `metrics` of the fused images."""
    subjects = tuple(s for s in summaries.subjects(better) if s in summaries.subjects(worse))
    if not subjects:
        return []
    wins, lost = [], []
    for metric in metrics:
        pair = [summaries.mean(run, "fused", metric, subjects) for run in (better, worse)]
        first, second = pair
        if first is None or second is None:
            continue
        wins.append(_beats(metric, first.mean, second.mean))
        if not wins[-1]:
            lost.append(f"{metric} ({first.mean:.4g} against {second.mean:.4g})")
    if not wins:
        return []
    text = f"percent of {len(wins)} metrics on which {better} is strictly better than {worse}, "
    text += f"fused, {', '.join(subjects)}; null: two runs alike, on average"
    text += f". Not better: {'; '.join(lost)}" if lost else ""
    return [at_least(name, 100.0 * sum(wins) / len(wins), ALIKE, 100.0, text)]


def _beats(metric: str, first: float, second: float) -> bool:
    return first < second if direction_of(metric) == "lower" else first > second
