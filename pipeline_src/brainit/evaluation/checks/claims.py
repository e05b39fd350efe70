"""Check the paper's claims on our runs: the orderings of Table 1, T1 to T5 and T7, and a control.

A row must beat another on the metrics on which it does so in the paper; the paper's exceptions
(Schaefer-1000 ahead on Alex(2) and Incep, 3-D coordinates and no external images on SSIM) are read
from the published numbers. A simulation has other metrics: there the row must win on as large a
share of them as in the paper.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
from scipy.stats import norm

from brainit.core.artifacts import read_table
from brainit.core.settings import Settings
from brainit.evaluation.checks.scores import EQUAL_RUNS_PCT, FULL_BEATS_HOUR, two_way_metrics
from brainit.evaluation.checks.verdict import CHECK_COLUMNS, Check, as_table, at_least, within
from brainit.evaluation.metrics.names import direction_of
from brainit.evaluation.tables.rows import TABLES, Condition, PaperTable, paper_table
from brainit.evaluation.tables.run_scores import Summaries
from brainit.workflow.runs import Run, Variant

CLAIMED = ("table1", "t1", "t2", "t3", "t4", "t5", "t7")
SHUFFLED_RUN = Run(variant=Variant("shuffled_trials")).name
_SAME = {"table1_40h_above_1h": FULL_BEATS_HOUR}
"""Claims that, in a simulation, equal an earlier check: all metrics, fused images."""


def check_claims(
    summaries: Mapping[str, Path], earlier: Path | None, settings: Settings
) -> pd.DataFrame:
    """Return the checks of the file `earlier` (None: none), then those of the paper's claims.

    `summaries` are by subject/run/kind. Claims without runs and claims among the earlier checks are
    left out. Raises `PipelineError` if `earlier` is no file of checks.
    """
    scores, n_permutations = Summaries(summaries), settings.evaluation.n_permutations
    checks = as_table([*check_orderings(scores, settings), *check_shuffled(scores, n_permutations)])
    if earlier is None:
        return checks
    first = read_table(earlier, CHECK_COLUMNS, "check_results")
    known = {
        *first["check"],
        *(claim for claim, same in _SAME.items() if same in set(first["check"])),
    }
    return pd.concat([first, checks[~checks["check"].isin(known)]], ignore_index=True)


def check_orderings(summaries: Summaries, settings: Settings) -> list[Check]:
    """Return a check for each row that the paper's reference row beats, if both were run here.

    The reference row must win on most metrics; in T3 it does not beat 256 or 512 clusters.
    """
    checks = []
    for name in CLAIMED:
        table, published = TABLES[name], paper_table(name)
        reference = table.conditions[table.reference]
        for other in table.conditions:
            if other == reference or other.paper_row is None:
                continue
            check = _ordering(name, reference, other, published, summaries, settings)
            checks += [] if check is None else [check]
    return checks


def _ordering(
    name: str,
    first: Condition,
    second: Condition,
    published: PaperTable,
    summaries: Summaries,
    settings: Settings,
) -> Check | None:
    in_paper = dict(_paper_wins(first, second, published))
    share = 100.0 * sum(in_paper.values()) / len(in_paper)
    wins = dict(_our_wins(first, second, published, summaries, settings))
    if settings.run.simulation:
        threshold, source = share, "the same share in the paper"
    else:
        wins = {metric: won for metric, won in wins.items() if in_paper[metric]}
        threshold, source = 100.0, "all metrics on which this holds in the paper"
    if not wins or share <= EQUAL_RUNS_PCT:
        return None
    text = (
        f"percent of {len(wins)} metrics on which {first.label} ({first.run}) is strictly better "
        f"than {second.label} ({second.run}); threshold: {source}{_lost(in_paper, ', not on ')}; "
        "null: two equal rows, on average. An ordering is not a significance test; see the "
        f"table's p-values{_lost(wins, '. Not on: ')}"
    )
    value = 100.0 * sum(wins.values()) / len(wins)
    better, worse = (
        (first.kind, second.kind) if first.run == second.run else (first.run, second.run)
    )
    return at_least(f"{name}_{better}_above_{worse}", value, EQUAL_RUNS_PCT, threshold, text)


def _lost(wins: Mapping[str, bool], start: str) -> str:
    names = [metric for metric, won in wins.items() if not won]
    return start + ", ".join(names) if names else ""


def _paper_wins(
    first: Condition, second: Condition, published: PaperTable
) -> Iterator[tuple[str, bool]]:
    assert first.paper_row is not None and second.paper_row is not None
    ours, theirs = (published.row(*c.paper_row).values for c in (first, second) if c.paper_row)
    for metric in published.metrics:
        sign = -1 if metric in published.lower_is_better else 1
        yield metric, sign * ours[metric] > sign * theirs[metric]


def _our_wins(
    first: Condition,
    second: Condition,
    published: PaperTable,
    summaries: Summaries,
    settings: Settings,
) -> Iterator[tuple[str, bool]]:
    """Yield each metric that both rows have, and whether the first is better, same subjects."""
    metrics = summaries.metrics() if settings.run.simulation else published.metrics
    common = set(summaries.subjects(first.run)) & set(summaries.subjects(second.run))
    if not settings.run.simulation:
        common &= set(published.subjects)
    subjects = tuple(sorted(common))
    for metric in metrics:
        pair = [summaries.mean(c.run, c.kind, metric, subjects) for c in (first, second)]
        if pair[0] is not None and pair[1] is not None:
            sign = -1 if direction_of(metric) == "lower" else 1
            yield metric, sign * pair[0].mean > sign * pair[1].mean


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
        checks.append(within(name, score.mean, score.null_mean, reach, text))
    return checks
