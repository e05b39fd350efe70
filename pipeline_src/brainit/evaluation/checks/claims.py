"""The paper's claims on its own tables as checks on ours: Table 1, T1 to T5 and T7, and a control.

A row of a table beats another on the metrics on which it does so in the paper, whose exceptions
(Schaefer-1000 ahead on Alex(2) and Incep, 3-D coordinates and no external images on SSIM) are read
from the published numbers themselves. A simulation has other metrics: there the row is better on as
large a share of them as in the paper.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
from scipy.stats import norm

from brainit.core.artifacts import read_table
from brainit.core.settings import Settings
from brainit.evaluation.checks.scores import ALIKE, FULL_BEATS_HOUR, two_way_metrics
from brainit.evaluation.checks.verdict import CHECK_COLUMNS, Check, as_table, at_least, within
from brainit.evaluation.metrics.names import direction_of
from brainit.evaluation.tables.rows import TABLES, Condition, PaperTable, paper_table
from brainit.evaluation.tables.run_scores import Summaries

CLAIMED = ("table1", "t1", "t2", "t3", "t4", "t5", "t7")
SHUFFLED_RUN = "40h_shuffled_trials"
_SAME = {"table1_40h_above_1h": FULL_BEATS_HOUR}
"""Claims that are, in a simulation, an earlier check by another name: all its metrics, fused."""


def check_claims(
    summaries: Mapping[str, Path], earlier: Path | None, settings: Settings
) -> pd.DataFrame:
    """Return the checks of the file `earlier` (None: none), then the claims that can be checked.

    `summaries` are by subject/run/kind; a claim whose runs are not there is left out, and so is one
    that stands among the earlier checks. Raises `PipelineError` for a file that holds no checks.
    """
    found, n_permutations = Summaries(summaries), settings.evaluation.n_permutations
    checks = as_table([*check_orderings(found, settings), *check_shuffled(found, n_permutations)])
    if earlier is None:
        return checks
    first = read_table(earlier, CHECK_COLUMNS, "check_results")
    known = {
        *first["check"],
        *(claim for claim, same in _SAME.items() if same in set(first["check"])),
    }
    return pd.concat([first, checks[~checks["check"].isin(known)]], ignore_index=True)


def check_orderings(summaries: Summaries, settings: Settings) -> list[Check]:
    """Return a check for each row behind its table's reference in the paper, where it was run here.

    Behind is a row that loses on most metrics: in T3 not the one of 256 or 512 clusters.
    """
    checks = []
    for name in CLAIMED:
        table, published = TABLES[name], paper_table(name)
        reference = table.conditions[table.reference]
        for other in table.conditions:
            if other == reference or other.paper_row is None:
                continue
            found = _ordering(name, reference, other, published, summaries, settings)
            checks += [] if found is None else [found]
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
        threshold, told = share, "the same in the paper"
    else:
        wins = {metric: won for metric, won in wins.items() if in_paper[metric]}
        threshold, told = 100.0, "all on which it is so in the paper"
    if not wins or share <= ALIKE:
        return None
    text = (
        f"percent of {len(wins)} metrics on which {first.label} ({first.run}) is strictly better "
        f"than {second.label} ({second.run}); threshold: {told}{_lost(in_paper, ', not on ')}; "
        "null: two rows alike, on average (no test: those of each metric stand in the table)"
        f"{_lost(wins, '. Not on: ')}"
    )
    value = 100.0 * sum(wins.values()) / len(wins)
    better, worse = (
        (first.kind, second.kind) if first.run == second.run else (first.run, second.run)
    )
    return at_least(f"{name}_{better}_above_{worse}", value, ALIKE, threshold, text)


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
    """Yield whether the first row is better on each metric that both have for the same subjects."""
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
    """Check that a model trained on mismatched trials identifies no better or worse than chance.

    Each subject's mean is held to permutations of its own reconstructions against the images (two
    sides, normal with their mean and deviation). The ranges are as wide as leaves all scores inside
    at once with 99 % (Bonferroni). One training is one draw, of a fixed map from responses to
    images: it can lie further out than permutations say, for like responses err alike.
    """
    found = {
        (subject, metric): score
        for subject in summaries.subjects(SHUFFLED_RUN)
        for metric in two_way_metrics(summaries)
        if (score := summaries.mean(SHUFFLED_RUN, "fused", metric, (subject,))) is not None
    }
    n_deviations = float(norm.isf(0.005 / max(len(found), 1)))
    checks = []
    for (subject, metric), score in found.items():
        text = (
            f"{metric} of {subject} by the model trained on trials shuffled against images, "
            f"percent; null: mean of {n_permutations} permutations; threshold: {n_deviations:.2f} "
            f"of their deviations, the 99 % range of {len(found)} scores at once"
        )
        name, reach = f"shuffled_trials_{subject}_{metric}", n_deviations * score.null_sd
        checks.append(within(name, score.mean, score.null_mean, reach, text))
    return checks
