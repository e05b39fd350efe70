"""Checks of the runs' scores: identification, branches, amounts of data, baselines.

Ridge uses the pretrained generator, our runs the one that stage 2 trained with them: what the
claims compare is the whole method.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from brainit.evaluation.checks.comparisons import (
    Images,
    Runs,
    differences_of,
    joint_claim,
    last_two_way,
    paper_like,
    stated_at_full_data,
)
from brainit.evaluation.checks.verdict import COMPARISON, NAN, Check, above, undecided
from brainit.evaluation.metrics.names import OBJECT_AUC, SAME_PLACE, is_two_way
from brainit.evaluation.tables.rows import FROM_SCRATCH
from brainit.evaluation.tables.run_scores import Summaries
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
"""Our runs, blind baselines of the same data, and an oracle: a simulated scene's true place."""
_OF_A_SIMULATION = f"{FULL.name}_place_only"
_BRANCHES = (("lowlevel", ("PixCorr", "SSIM")),)
"""Kinds of images that ridge has beside the final ones, and the metrics on which they compare."""


def check_scores(runs: Runs) -> list[Check]:
    """Return every check of scores whose runs were scored.

    All numbers are means over the subjects that have the compared runs.
    """
    return [
        *_identification(runs),
        *_least_scores(runs),
        *_branches(runs),
        *_transfer(runs),
        *check_baselines(runs),
    ]


def two_way_metrics(summaries: Summaries) -> list[str]:
    """Return the identification metrics, from early taps to late ones."""
    return [metric for metric in summaries.metrics() if is_two_way(metric)]


def _identification(runs: Runs) -> Iterator[Check]:
    """Check that identification is above chance, against the permutations' 99.9th percentile."""
    for metric in runs.metrics(FULL.name):
        if not (is_two_way(metric) or metric.startswith("similar_")):
            continue
        score = runs.score(metric, Images(FULL.name))
        chance = runs.chance(metric, Images(FULL.name))
        if score is None or chance is None:
            continue
        among = "all others" if is_two_way(metric) else "those that look most alike"
        text = (
            f"identification of {chance.n_images} held-out shared images among {among}, percent;"
            " null and threshold: 99.9th percentile over permutations of reconstructions against"
            f" targets; interval over {runs.resampled}"
        )
        yield above(f"fused_{metric}", score, chance.null_p999, text, chance.null_p999)


def _least_scores(runs: Runs) -> Iterator[Check]:
    for metric, kind, least in LEAST_SCORES:
        if not runs.settings.run.simulation or not runs.subjects(Images(FULL.name, kind)):
            continue
        score = runs.score(metric, Images(FULL.name, kind))
        if score is None:
            yield undecided(f"{kind}_{metric}", f"{metric} of {kind} images was not scored")
            continue
        chance = 0.5 if metric == OBJECT_AUC else 50.0
        text = (
            f"{metric} of {kind} images, {FULL.label}, against a value stated before; null: chance;"
            f" interval over {runs.resampled}"
        )
        yield above(f"{kind}_{metric}", score, least, text, chance)


def _branches(runs: Runs) -> Iterator[Check]:
    """Compare the kinds of images of the full run, as the paper's Table T4 orders them."""
    last = last_two_way(runs.metrics(FULL.name))
    pairs = [("PixCorr", "lowlevel", "fused"), ("PixCorr", "fused", "semantic")]
    pairs += [(last, kind, "lowlevel") for kind in ("fused", "semantic") if last]
    for metric, better, worse in pairs:
        first, second = Images(FULL.name, better), Images(FULL.name, worse)
        found = runs.difference(metric, first, second, runs.subjects(first, second))
        chances = [runs.chance(metric, one) for one in (first, second)]
        if np.isnan(found.interval.value) or chances[0] is None or chances[1] is None:
            continue
        null = chances[0].null_mean - chances[1].null_mean
        text = (
            f"{metric} of {better} minus {worse} images, {FULL.label}, paired over"
            f" {runs.resampled}; null: the same with reconstructions shuffled against images;"
            " threshold: 0, or the null if it is higher"
        )
        name, threshold = f"{metric}_{better}_above_{worse}", max(0.0, null)
        if is_two_way(metric) and not _is_above_chance(runs, metric, first):
            yield undecided(name, f"{first} identify at chance; {text}")
            continue
        yield above(name, found.interval, threshold if np.isfinite(null) else 0.0, text, null)


def _is_above_chance(runs: Runs, metric: str, one: Images) -> bool:
    """Return True if identification is above its null: two runs at chance differ by chance."""
    score, chance = runs.score(metric, one), runs.chance(metric, one)
    return score is not None and chance is not None and score.low > chance.null_p999


def _transfer(runs: Runs) -> Iterator[Check]:
    """Check that transfer beats a model from scratch on the same hour, if both ran."""
    first, second = Images(ONE_HOUR.name), Images(FROM_SCRATCH)
    if runs.subjects(first, second):
        stated = paper_like(runs.metrics(first.run))
        yield _joint(runs, first, second, stated, "transfer_beats_scratch")


def check_baselines(runs: Runs) -> Iterator[Check]:
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
        stated = (
            tuple(metrics)
            if run == ONE_HOUR.name
            else stated_at_full_data(metrics, runs.settings.run.simulation)
        )
        yield _joint(runs, first, second, stated, name)
        yield from _one_by_one(runs, first, second, metrics)
        for kind, of_kind in _BRANCHES:
            pair = Images(run, kind), Images(baseline, kind)
            if runs.subjects(*pair):
                yield from _one_by_one(runs, *pair, of_kind)


def _metrics_of_either(runs: Runs, first: Images, second: Images) -> list[str]:
    """Return the metrics that one of both has: a metric that the other lacks decides nothing."""
    both = (*runs.metrics(first.run), *runs.metrics(second.run))
    return list(dict.fromkeys(both))


def _joint(runs: Runs, first: Images, second: Images, stated: Sequence[str], name: str) -> Check:
    subjects = runs.subjects(first, second)
    metrics = _metrics_of_either(runs, first, second)
    differences = differences_of(runs, first, second, metrics, subjects)
    what = f"{first} minus {second} images, {', '.join(subjects)}, paired over {runs.resampled}"
    return joint_claim(name, differences, stated, what)


def _one_by_one(
    runs: Runs, first: Images, second: Images, metrics: Sequence[str]
) -> Iterator[Check]:
    subjects = runs.subjects(first, second)
    end = "" if first.kind == "fused" else f"_{first.kind}"
    for difference in differences_of(runs, first, second, metrics, subjects):
        metric = difference.metric
        text = (
            f"{metric} of {first} minus {second} images, {', '.join(subjects)}, paired over"
            f" {runs.resampled}; above 0 the first is better. One of many, each with its own 95 %"
            " interval: no claim"
        )
        name = f"{metric}_{first.run}_above_{second.run}{end}"
        yield Check(name, *difference.interval.ends, NAN, NAN, COMPARISON, text)
