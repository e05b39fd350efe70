"""Checks of the runs' scores: identification, orderings, and amounts of data."""

import math
from collections.abc import Sequence

from brainit.evaluation.checks.verdict import Check, at_least, within
from brainit.evaluation.metrics.names import direction_of, is_two_way
from brainit.evaluation.tables.rows import FROM_SCRATCH
from brainit.evaluation.tables.run_scores import Summaries
from brainit.workflow.runs import FULL, ONE_HOUR

LEAST_TWO_WAY = 90.0
LEAST_TEST_IMAGES = 100
NULL_TOLERANCE = 0.5
FULL_BEATS_HOUR = "40h_beats_1h"
EQUAL_RUNS_PCT = 50.0
"""Null of orderings: percent of metrics on which one of two equal runs wins, on average."""


def check_scores(summaries: Summaries) -> list[Check]:
    """Return every check of scores whose runs have summaries.

    All numbers are means over the subjects that have the compared runs.
    """
    return [
        *_identification(summaries),
        *_orderings(summaries),
        *check_transfer(summaries, summaries.metrics()),
        *_amounts(summaries, FULL.name, ONE_HOUR.name, FULL_BEATS_HOUR, summaries.metrics()),
    ]


def check_transfer(summaries: Summaries, metrics: Sequence[str]) -> list[Check]:
    """Return the check that transfer beats a model from scratch on `metrics`, if both ran."""
    return _amounts(summaries, ONE_HOUR.name, FROM_SCRATCH, "transfer_beats_scratch", metrics)


def two_way_metrics(summaries: Summaries) -> list[str]:
    """Return the identification metrics, from early taps to late ones."""
    return [metric for metric in summaries.metrics() if is_two_way(metric)]


def _identification(summaries: Summaries) -> list[Check]:
    checks: list[Check] = []
    n_images = []
    for metric in two_way_metrics(summaries):
        score = summaries.mean(FULL.name, "fused", metric)
        if score is None:
            continue
        n_images.append(score.n_images)
        name = f"fused_{metric}"
        checks += [
            at_least(
                name,
                score.mean,
                score.null_p999,
                LEAST_TWO_WAY,
                f"two-way identification of {score.n_images} held-out shared images, percent; "
                "null: 99.9th percentile over permutations of reconstructions against targets",
            ),
            within(
                f"{name}_null_mean",
                score.null_mean,
                50.0,
                NULL_TOLERANCE,
                "mean over these permutations; threshold: largest allowed distance from 50",
            ),
        ]
    if n_images:
        text = "smallest number of test images of a subject"
        count = float(min(n_images))
        checks.append(at_least("n_test_images", count, math.nan, LEAST_TEST_IMAGES, text))
    return checks


def _orderings(summaries: Summaries) -> list[Check]:
    last = two_way_metrics(summaries)[-1:]
    pairs = [("PixCorr", "lowlevel", "fused"), ("PixCorr", "fused", "semantic")]
    pairs += [(metric, kind, "lowlevel") for metric in last for kind in ("fused", "semantic")]
    checks = []
    for metric, better, worse in pairs:
        first, second = (summaries.mean(FULL.name, kind, metric) for kind in (better, worse))
        if first is not None and second is not None:
            checks.append(
                at_least(
                    f"{metric}_{better}_above_{worse}",
                    first.mean - second.mean,
                    first.null_mean - second.null_mean,
                    0.0,
                    f"{metric} of {better} images ({first.mean:.4g}) minus {worse} images "
                    f"({second.mean:.4g}), {FULL.label}; null: the same with reconstructions "
                    "shuffled against images",
                    strict=True,
                )
            )
    return checks


def _amounts(
    summaries: Summaries, better: str, worse: str, name: str, metrics: Sequence[str]
) -> list[Check]:
    """Return the check that one run beats another on each of `metrics`, fused images.

    Empty if no subject has both runs.
    """
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
    text += f"fused images, {', '.join(subjects)}; null: two equal runs, on average"
    text += f". Not better: {'; '.join(lost)}" if lost else ""
    return [at_least(name, 100.0 * sum(wins) / len(wins), EQUAL_RUNS_PCT, 100.0, text)]


def _beats(metric: str, first: float, second: float) -> bool:
    return first < second if direction_of(metric) == "lower" else first > second
