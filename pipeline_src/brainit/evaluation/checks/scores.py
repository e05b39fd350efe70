"""Checks of the runs' scores: identification, branches, amounts of data, and blind baselines."""

from collections.abc import Iterator, Sequence

import numpy as np

from brainit.core.settings import Settings
from brainit.evaluation.checks.comparisons import (
    Comparisons,
    Images,
    joint_claim,
    last_two_way,
    paper_like,
    stated_at_full_data,
)
from brainit.evaluation.checks.verdict import NAN, Check, Interval, above, undecided
from brainit.evaluation.metrics.names import OBJECT_AUC, SAME_PLACE, is_two_way
from brainit.evaluation.metrics.statistics import mean_interval
from brainit.evaluation.tables.rows import FROM_SCRATCH
from brainit.evaluation.tables.run_scores import ImageScores, Summaries
from brainit.workflow.runs import FULL, ONE_HOUR

LEAST_SCORES = (
    (OBJECT_AUC, "fused", 0.80),
    (OBJECT_AUC, "lowlevel", 0.65),
    (SAME_PLACE, "fused", 85.0),
)
"""Metric, kind of images and the least score of the full run: what shows that objects are seen."""

BASELINES = (
    (ONE_HOUR.name, f"{ONE_HOUR.name}_ridge"),
    (ONE_HOUR.name, f"{ONE_HOUR.name}_knn"),
    (FULL.name, f"{FULL.name}_ridge"),
    (FULL.name, f"{FULL.name}_knn"),
    (FULL.name, f"{FULL.name}_place_only"),
)
"""Our runs and the blind baselines of the same data; the last knows a simulated scene's place."""
_OF_A_SIMULATION = f"{FULL.name}_place_only"
_BRANCHES = (("lowlevel", ("PixCorr", "SSIM")),)
"""Kinds of images that ridge has beside the final ones, and the metrics on which they compare."""


def check_scores(images: ImageScores, summaries: Summaries, settings: Settings) -> list[Check]:
    """Return every check of scores whose runs were scored.

    All numbers are means over the subjects that have the compared runs.
    """
    runs = Comparisons(images, settings)
    return [
        *_identification(images, summaries, settings),
        *_least_scores(images, settings),
        *_branches(runs, summaries),
        *_transfer(runs),
        *check_baselines(runs),
    ]


def two_way_metrics(summaries: Summaries) -> list[str]:
    """Return the identification metrics, from early taps to late ones."""
    return [metric for metric in summaries.metrics() if is_two_way(metric)]


def _score(images: ImageScores, one: Images, metric: str, settings: Settings) -> Interval | None:
    """Return the mean over subjects and images of a metric, with its interval over images."""
    values = images.values(images.subjects(one.run, one.kind), one.run, one.kind, metric)
    if values is None:
        return None
    found = mean_interval(np.asarray(values, dtype=np.float64), metric, settings)
    return Interval(found.mean, found.ci_low, found.ci_high)


def _identification(
    images: ImageScores, summaries: Summaries, settings: Settings
) -> Iterator[Check]:
    """Check that identification is above chance, against the permutations' 99.9th percentile."""
    for metric in images.metrics(FULL.name):
        if not (is_two_way(metric) or metric.startswith("similar_")):
            continue
        score = _score(images, Images(FULL.name), metric, settings)
        chance = summaries.mean(FULL.name, "fused", metric)
        if score is None or chance is None:
            continue
        among = "all others" if is_two_way(metric) else "those that look most alike"
        text = (
            f"identification of {chance.n_images} held-out shared images among {among}, percent;"
            " null and threshold: 99.9th percentile over permutations of reconstructions against"
            " targets"
        )
        yield above(f"fused_{metric}", score, chance.null_p999, text, chance.null_p999)


def _least_scores(images: ImageScores, settings: Settings) -> Iterator[Check]:
    for metric, kind, least in LEAST_SCORES:
        score = _score(images, Images(FULL.name, kind), metric, settings)
        if score is None:
            continue
        chance = 0.5 if metric == OBJECT_AUC else 50.0
        text = (
            f"{metric} of {kind} images, {FULL.label}, against a value stated before; null: chance"
        )
        yield above(f"{kind}_{metric}", score, least, text, chance)


def _branches(runs: Comparisons, summaries: Summaries) -> Iterator[Check]:
    """Compare the kinds of images of the full run, as the paper's Table T4 orders them."""
    last = last_two_way(runs.images.metrics(FULL.name))
    pairs = [("PixCorr", "lowlevel", "fused"), ("PixCorr", "fused", "semantic")]
    pairs += [(last, kind, "lowlevel") for kind in ("fused", "semantic") if last]
    for metric, better, worse in pairs:
        first, second = Images(FULL.name, better), Images(FULL.name, worse)
        found = runs.difference(metric, first, second, runs.subjects(first, second))
        chances = [summaries.mean(FULL.name, one.kind, metric) for one in (first, second)]
        if np.isnan(found.interval.value) or chances[0] is None or chances[1] is None:
            continue
        null = chances[0].null_mean - chances[1].null_mean
        text = (
            f"{metric} of {better} minus {worse} images, {FULL.label}, paired over images; null:"
            " the same with reconstructions shuffled against images; threshold: 0, or the null if"
            " it is higher"
        )
        threshold = max(0.0, null) if np.isfinite(null) else 0.0
        yield above(f"{metric}_{better}_above_{worse}", found.interval, threshold, text, null)


def _transfer(runs: Comparisons) -> Iterator[Check]:
    """Check that transfer beats a model from scratch on the same hour, if both ran."""
    first, second = Images(ONE_HOUR.name), Images(FROM_SCRATCH)
    if runs.subjects(first, second):
        stated = paper_like(runs.images.metrics(first.run))
        yield _joint(runs, first, second, stated, "transfer_beats_scratch")


def check_baselines(runs: Comparisons) -> Iterator[Check]:
    """Compare our runs with blind baselines of the same data: jointly, then metric by metric.

    With one hour we claim every metric, with all data those of `stated_at_full_data` and to be
    worse on none. A baseline that was not run leaves the claim undecided.
    """
    for run, baseline in BASELINES:
        if baseline == _OF_A_SIMULATION and not runs.settings.run.simulation:
            continue
        first, second = Images(run), Images(baseline)
        if not runs.subjects(first):
            continue
        name = f"{run}_beats_{baseline}"
        subjects = runs.subjects(first, second)
        if not subjects:
            yield undecided(name, f"{baseline} was not run")
            continue
        metrics = _metrics_of_either(runs, first, second)
        stated = tuple(metrics) if run == ONE_HOUR.name else stated_at_full_data(metrics)
        yield _joint(runs, first, second, stated, name)
        yield from _one_by_one(runs, first, second, metrics)
        for kind, of_kind in _BRANCHES:
            pair = Images(run, kind), Images(baseline, kind)
            if runs.subjects(*pair):
                yield from _one_by_one(runs, *pair, of_kind)


def _metrics_of_either(runs: Comparisons, first: Images, second: Images) -> list[str]:
    """Return the metrics that one of both has: a metric that the other lacks decides nothing."""
    both = (*runs.images.metrics(first.run), *runs.images.metrics(second.run))
    return list(dict.fromkeys(both))


def _joint(
    runs: Comparisons, first: Images, second: Images, stated: Sequence[str], name: str
) -> Check:
    subjects = runs.subjects(first, second)
    metrics = _metrics_of_either(runs, first, second)
    differences = runs.differences(first, second, metrics, subjects)
    what = f"{first} minus {second} images, {', '.join(subjects)}, paired over images"
    return joint_claim(name, differences, stated, what)


def _one_by_one(
    runs: Comparisons, first: Images, second: Images, metrics: Sequence[str]
) -> Iterator[Check]:
    subjects = runs.subjects(first, second)
    end = "" if first.kind == "fused" else f"_{first.kind}"
    for difference in runs.differences(first, second, metrics, subjects):
        metric = difference.metric
        text = (
            f"{metric} of {first} minus {second} images, {', '.join(subjects)}, paired over images;"
            " above 0 the first is better. One of many, each at its own 95 %"
        )
        name = f"{metric}_{first.run}_above_{second.run}{end}"
        yield above(name, difference.interval, 0.0, text, NAN)
