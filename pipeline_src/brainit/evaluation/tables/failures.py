"""Failure cases by a rule: the test images whose fused images are identified worst, and why.

The rule: per subject, the `N_WORST` images with the lowest mean of the identification metrics. A
branch failed if its mean is in the lowest quarter of the subject's images; the fusion failed if
neither branch did.
"""

import numpy as np
import pandas as pd

from brainit.core.settings import Settings
from brainit.evaluation.metrics.names import is_two_way
from brainit.evaluation.tables.files import Block, Table
from brainit.evaluation.tables.rows import FAILURES, title_of
from brainit.evaluation.tables.run_scores import ImageScores
from brainit.workflow.runs import FULL

N_WORST = 10
LOWEST_SHARE_PCT = 25.0
_BRANCHES = {"lowlevel": "low-level", "semantic": "semantic"}


def failure_table(images: ImageScores, settings: Settings) -> Table:
    """Return the failure cases of the full run, a block per subject."""
    simulated = settings.run.simulation
    subjects = images.subjects(FULL.name, "fused")
    parts = [failure_cases(images, subject).assign(subject=subject) for subject in subjects]
    records = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    records = records.assign(simulation=simulated)
    blocks = tuple(_block(part, subject) for subject, part in zip(subjects, parts, strict=True))
    title = title_of(FAILURES) + (" (simulation)" if simulated else "")
    notes = (
        f"Rule: the {N_WORST} test images with the lowest mean of the identification metrics of "
        "the fused image, percent. Failed: each branch whose mean is in the lowest "
        f"{LOWEST_SHARE_PCT:.0f} % of the subject's images, or the fusion if neither branch is.",
        "Columns of branches: percent of the subject's images with a lower mean.",
    )
    return Table(FAILURES, title, blocks, records, notes)


def failure_cases(images: ImageScores, subject: str) -> pd.DataFrame:
    """Return the worst images: identification, PixCorr, percentiles of both branches, failure."""
    scores = {kind: _identification(images, subject, kind) for kind in ("fused", *_BRANCHES)}
    fused = scores["fused"].sort_index(kind="stable")
    worst = fused.sort_values(kind="stable").head(N_WORST)
    table = pd.DataFrame({"nsd_id": worst.index, "identification": worst.to_numpy()})
    pixcorr = images.values((subject,), FULL.name, "fused", "PixCorr")
    table["PixCorr"] = np.nan if pixcorr is None else pixcorr.reindex(worst.index).to_numpy()
    failed: list[list[str]] = [[] for _ in range(len(table))]
    for kind, label in _BRANCHES.items():
        percentile = _percent_below(scores[kind]).reindex(worst.index).to_numpy()
        table[f"{kind}_percentile"] = percentile
        for names, value in zip(failed, percentile, strict=True):
            names += [label] if value < LOWEST_SHARE_PCT else []
    table["failed"] = [" and ".join(names) or "fusion" for names in failed]
    return table


def _identification(images: ImageScores, subject: str, kind: str) -> "pd.Series[float]":
    names = [metric for metric in images.metrics() if is_two_way(metric)]
    scores = [images.values((subject,), FULL.name, kind, metric) for metric in names]
    columns = [values for values in scores if values is not None]
    if not columns:
        return pd.Series(dtype=np.float64)
    return pd.concat(columns, axis=1).mean(axis=1)


def _percent_below(scores: "pd.Series[float]") -> "pd.Series[float]":
    """Return for each image the percent of the other images with a lower score."""
    lower = scores.rank(method="min").to_numpy() - 1
    return pd.Series(100.0 * lower / max(len(scores) - 1, 1), index=scores.index)


def _block(cases: pd.DataFrame, subject: str) -> Block:
    heading = ("image", "identification", "PixCorr", "low-level", "semantic", "failed")
    rows = [
        (
            f"{row[0]}",
            f"{row[1]:.1f}",
            f"{row[2]:.3f}",
            f"{row[3]:.0f} %",
            f"{row[4]:.0f} %",
            row[5],
        )
        for row in cases.drop(columns="subject").itertuples(index=False, name=None)
    ]
    return Block(subject, heading, tuple(rows))
