"""Check claims on our runs: the orderings of Table 1, T1 to T5 and T7, peers, and a control.

A row must beat another on the metrics on which it does so in the paper, each by the interval of its
own difference over images; the paper's exceptions (Schaefer-1000 ahead on Alex(2) and Incep, 3-D
coordinates and no external images on SSIM) are read from the published numbers. A simulation has
other metrics: there, those count that stand for metrics on which the row wins in the paper.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
from scipy.stats import norm

from brainit.core.artifacts import read_table
from brainit.core.settings import Settings
from brainit.evaluation.checks.comparisons import (
    PAPER_FAMILIES,
    Comparisons,
    Images,
    Runs,
    counterpart,
    differences_of,
    joint_claim,
)
from brainit.evaluation.checks.peers import check_peers
from brainit.evaluation.checks.scores import two_way_metrics
from brainit.evaluation.checks.verdict import CHECK_COLUMNS, NAN, Check, Interval, as_table, within
from brainit.evaluation.tables.rows import TABLES, Condition, PaperTable, paper_table
from brainit.evaluation.tables.run_scores import ImageScores, Summaries
from brainit.workflow.runs import Run, Variant

CLAIMED = ("table1", "t1", "t2", "t3", "t4", "t5", "t7")
SHUFFLED_RUN = Run(variant=Variant("shuffled_trials")).name
LEAST_SHARE_PCT = 50.0
"""An ordering of the paper is a claim if it holds there on more than half of its metrics."""


def check_claims(
    metrics: Mapping[str, Path],
    summaries: Mapping[str, Path],
    earlier: Path | None,
    settings: Settings,
) -> pd.DataFrame:
    """Return the checks of the file `earlier` (None: none), then the paper's claims and peers.

    `metrics` and `summaries` are by subject/run/kind. Claims without runs and claims among the
    earlier checks are left out. Raises `PipelineError` if `earlier` is no file of checks.
    """
    scores = Summaries(summaries)
    runs = Comparisons(ImageScores(metrics), scores, settings)
    n_permutations = settings.evaluation.n_permutations
    shuffled = check_shuffled(scores, n_permutations)
    checks = as_table([*check_orderings(runs), *check_peers(runs), *shuffled])
    if earlier is None:
        return checks
    first = read_table(earlier, CHECK_COLUMNS, "check_results")
    return pd.concat([first, checks[~checks["check"].isin(first["check"])]], ignore_index=True)


def check_orderings(runs: Runs) -> list[Check]:
    """Return a check for each row that the paper's reference row beats, if both were run here.

    The reference row must win on most metrics in the paper; in T3 it does not beat 256 or 512
    clusters.
    """
    checks = []
    for name in CLAIMED:
        table, published = TABLES[name], paper_table(name)
        reference = table.conditions[table.reference]
        for other in table.conditions:
            if other == reference or other.paper_row is None:
                continue
            check = _ordering(name, reference, other, published, runs)
            checks += [] if check is None else [check]
    return checks


def _ordering(
    name: str, first: Condition, second: Condition, published: PaperTable, runs: Runs
) -> Check | None:
    """Return the check that the images of `first` are better than those of `second`.

    None for rows without paper numbers or runs, and where the paper's row wins on too few metrics.
    """
    if second.paper_row is None:
        return None
    in_paper = dict(_paper_wins(first, second, published))
    share = 100.0 * sum(in_paper.values()) / len(in_paper)
    pair = Images(first.run, first.kind), Images(second.run, second.kind)
    simulated = runs.settings.run.simulation
    subjects = [s for s in runs.subjects(*pair) if simulated or s in published.subjects]
    if not subjects or share <= LEAST_SHARE_PCT:
        return None
    stated = [metric for metric, won in in_paper.items() if won]
    if simulated:
        stated = _counterparts(in_paper, runs.metrics(first.run))
    better, worse = (
        (first.kind, second.kind) if first.run == second.run else (first.run, second.run)
    )
    differences = differences_of(runs, *pair, stated, subjects)
    exceptions = [metric for metric, won in in_paper.items() if not won]
    what = (
        f"{first.label} ({pair[0]}) minus {second.label} ({pair[1]}) images, {', '.join(subjects)},"
        f" paired over {runs.resampled}, on the metrics on which this is better in the paper"
    )
    what += f", not on {', '.join(exceptions)}" if exceptions else ""
    return joint_claim(f"{name}_{better}_above_{worse}", differences, stated, what)


def _counterparts(in_paper: Mapping[str, bool], metrics: tuple[str, ...]) -> list[str]:
    """Return our metrics that stand for a family of the paper's on all of which the row wins."""
    won = [family for family in PAPER_FAMILIES if all(in_paper.get(m, False) for m in family)]
    found = [counterpart(family, metrics) for family in won]
    return list(dict.fromkeys(metric for metric in found if metric is not None))


def _paper_wins(
    first: Condition, second: Condition, published: PaperTable
) -> Iterator[tuple[str, bool]]:
    assert first.paper_row is not None and second.paper_row is not None
    ours, theirs = (published.row(*c.paper_row).values for c in (first, second) if c.paper_row)
    for metric in published.metrics:
        sign = -1 if metric in published.lower_is_better else 1
        yield metric, sign * ours[metric] > sign * theirs[metric]


def check_shuffled(summaries: Summaries, n_permutations: int) -> list[Check]:
    """Check that a model trained on mismatched trials identifies images at chance.

    Each subject's mean is compared with permutations of its reconstructions against the images:
    two-sided, normal with their mean and deviation. The ranges hold all scores at once with 99 %
    probability (Bonferroni). One training is one draw of a fixed map from responses to images;
    similar responses give similar errors, so it can lie further out than permutations suggest.
    """
    scores = {
        (subject, metric): score
        for subject in summaries.subjects(SHUFFLED_RUN)
        for metric in two_way_metrics(summaries)
        if (score := summaries.mean(SHUFFLED_RUN, "fused", metric, (subject,))) is not None
    }
    n_deviations = float(norm.isf(0.005 / max(len(scores), 1)))
    checks = []
    for (subject, metric), score in scores.items():
        text = (
            f"{metric} of {subject}, percent, of the model trained on trials shuffled against "
            f"images; null: mean over {n_permutations} permutations; threshold: {n_deviations:.2f} "
            f"of their standard deviations, the joint 99 % range of {len(scores)} scores"
        )
        name, reach = f"shuffled_trials_{subject}_{metric}", n_deviations * score.null_sd
        interval = Interval(score.mean, NAN, NAN)
        checks.append(within(name, interval, score.null_mean, reach, text))
    return checks
