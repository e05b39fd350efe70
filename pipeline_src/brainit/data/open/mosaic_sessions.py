"""Recover sessions and runs of MOSAIC's trials: the file has none.

`rep` counts presentations in scan order, so that the r-th time an image occurs in the original
trial table gives session, run and place in time: of NSD its design file, of the others the BIDS
`events.tsv`. That holds only where both count the same presentations, which is checked.
"""

import logging
from pathlib import Path

import pandas as pd

from brainit.core.errors import PipelineError
from brainit.data.nsd.design import planned_trials, read_experiment
from brainit.data.open.events import read_presentations
from brainit.data.open.mosaic_tables import counted_repeats, stem_of

logger = logging.getLogger(__name__)


def read_shown(
    path: Path, subject: str, stimuli: pd.DataFrame | None, task: str | None = None
) -> pd.DataFrame:
    """Return `session`, `run` and `stem` of each presentation in time order.

    `path` is NSD's design file (.mat; `stimuli` then gives the file of each nsd_id by its alias) or
    a folder of BIDS events. Raises `PipelineError` where an image has no file.
    """
    number = subject.partition("_")[0]
    if path.suffix != ".mat":
        shown = read_presentations(path, number, task=task)
        stems = [stem_of(name) for name in shown["image"]]
        return shown[["session", "run"]].assign(stem=stems)
    if stimuli is None or "alias" not in stimuli:
        fix = "pass --stimuli nsd_stiminfo.tsv, whose alias is NSD's number"
        raise PipelineError(path, "file names of NSD's images", "none", fix, code="missing-data")
    planned = planned_trials(read_experiment(path), f"subj{number.removeprefix('sub-')}")
    aliases = pd.to_numeric(stimuli["alias"], errors="coerce")
    is_number = aliases.notna()
    stem_by_id = dict(zip(aliases[is_number].astype(int), stimuli["stem"][is_number], strict=True))
    stems = [stem_by_id.get(nsd_id, "") for nsd_id in planned["nsd_id"]]
    return planned[["session", "run"]].assign(stem=stems)


def expected_counts(trials: pd.DataFrame, stimuli: pd.DataFrame | None, subject: str) -> pd.Series:
    """Return how often each stem of the file was shown: by its last `rep`, or the table if more.

    A repetition that was never analysed has no trial, yet the table counts it.
    """
    counts = trials.groupby("stem")["rep"].max() + 1
    counted = None if stimuli is None else counted_repeats(stimuli, subject)
    if counted is None:
        return counts
    return counts.combine(counted.reindex(counts.index).fillna(0), max).astype(int)


def join_sessions(
    trials: pd.DataFrame, shown: pd.DataFrame, counts: pd.Series, where: Path
) -> pd.DataFrame:
    """Return the trials with session and run, in time order.

    The r-th time that an image is shown is its trial of `rep` r; `counts` is how often each was
    shown (`expected_counts`). Where events show more, immediate repeats of the one-back task are
    passed over. Of NSD's plan (.mat) sessions after the last one that the file has were not
    scanned. Raises `PipelineError` where a trial has no presentation, and where an image is still
    shown more often than counted.
    """
    is_first = shown["stem"] != shown.groupby(["session", "run"])["stem"].shift()
    is_known = shown["stem"].isin(counts.index)
    once, shown = shown[is_first & is_known], shown[is_known]
    if where.suffix == ".mat":
        joined = _joined(trials, shown, where)
        shown = shown[shown["session"] <= joined["session"].max()]
    elif len(_excess(shown, counts)):
        n_dropped = len(shown) - len(once)
        logger.info("%s: %d immediate repeats of an image passed over", where, n_dropped)
        shown = once
    excess = _excess(shown, counts)
    if len(excess):
        stem = excess.index[0]
        raise PipelineError(
            where,
            f"{counts[stem]} presentations of {stem!r}, as in the subject's file",
            f"{excess[stem]} ({len(excess)} images shown too often)",
            "pass the trial tables that this subject's betas were made of (--events, --task), and"
            " --stimuli, which counts repeats that have no betas; or no tables",
            code="inconsistent-inputs",
        )
    return _joined(trials, shown, where)


def _excess(shown: pd.DataFrame, counts: pd.Series) -> pd.Series:
    """Return how often each stem is shown that is shown more often than counted."""
    found = shown.groupby("stem").size()
    return found[found > counts.reindex(found.index)]


def _joined(trials: pd.DataFrame, shown: pd.DataFrame, where: Path) -> pd.DataFrame:
    """Return the trials with session and run, in time order; a lost trial is an error."""
    shown = shown.assign(rep=shown.groupby("stem").cumcount(), moment=range(len(shown)))
    joined = trials.merge(shown, on=["stem", "rep"], how="left", validate="one_to_one")
    lost = joined["moment"].isna()
    if lost.any():
        first = joined[lost].iloc[0]
        raise PipelineError(
            where,
            f"presentation {first['rep'] + 1} of {first['stem']!r}",
            f"fewer, for {int(lost.sum())} of {len(joined)} trials",
            "pass the trial tables of this subject, or none: all trials are then one session",
            code="inconsistent-inputs",
        )
    joined = joined.sort_values("moment", ignore_index=True)
    return joined.astype({"session": int, "run": int}).drop(columns="moment")
