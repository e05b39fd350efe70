"""Leave out the external images that a cohort tests or validates with (section D.1).

Models train on external images with predicted fMRI. One that is a member's test or validation
picture, or a near copy of it by hash (`data.picture_hash`), would show the models what they are
scored by. NSD alone needs no search: its pictures are COCO's labelled ones, the external ones
COCO's unlabelled ones. Other crops of a picture are not found.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from brainit.core.artifacts import read_table, write_table
from brainit.core.errors import PipelineError
from brainit.core.shards import link_without
from brainit.data.cohort import SPLIT_OF_RANK, shared_pictures, shown_set
from brainit.data.pixels import PixelStore
from brainit.data.trials import read_trials

logger = logging.getLogger(__name__)

HELD_OUT = ("test", "val")
_COLUMNS = ("external", "same_as", "nsd_id", "split", "is_equal", "bits", "correlation")
_N_LOGGED = 20


@dataclass(frozen=True)
class ScreenFiles:
    """External images, and the joined images and trials of a cohort."""

    external: Path
    """folder of all external images"""
    stimuli: Path
    """folder of the cohort's joined images"""
    names: Path
    """names of the joined images (.csv)"""
    trials: Mapping[str, Path]
    """joined trial table of each subject"""
    screened: Path
    """folder of the external images that remain, to write"""
    left_out: Path
    """table of the images left out, to write (.csv)"""


def screen_external(files: ScreenFiles, most_bits: int) -> None:
    """Write the external images that no member tests or validates with, and a table of the others.

    `most_bits` is the distance of hashes up to which pictures may be near copies. The table has one
    row per pair: `external` is the number of the image, its place among the sorted names of the
    archive from 0. Raises `PipelineError` where none remains.
    """
    found = _held_out_among_external(files, most_bits)
    left_out = sorted(set(found["external"].tolist()))
    n_images = len(PixelStore(files.external))
    if len(left_out) == n_images:
        raise PipelineError(
            files.external,
            "external images that no member of the cohort tests or validates with",
            f"none of {n_images}",
            "give other images (paths.coco_source), or set synthesis.enabled: false",
            code="missing-data",
        )
    more = ", ..." if len(left_out) > _N_LOGGED else ""
    listed = ", ".join(map(str, left_out[:_N_LOGGED])) + more
    logger.info(
        "%d of %d external images left out, tested or validated with in the cohort%s",
        len(left_out),
        n_images,
        f": {listed}" if left_out else "",
    )
    write_table(files.left_out, found)
    link_without(files.screened, files.external, left_out)


def _held_out_among_external(files: ScreenFiles, most_bits: int) -> pd.DataFrame:
    """Return one row per pair of an external image and a held-out picture that it shows."""
    tables = [read_trials(path) for path in files.trials.values()]
    tables = [table[table["split"].isin(HELD_OUT)] for table in tables]
    if not any(map(len, tables)):
        return pd.DataFrame(columns=list(_COLUMNS))
    held_out = shown_set("the cohort", 0, PixelStore(files.stimuli), tables)
    store = PixelStore(files.external)
    rows = pd.DataFrame({"nsd_id": range(len(store)), "split": "unused"})
    external = shown_set("external images", 0, store, [rows])
    names = read_table(files.names, ("nsd_id", "image"), "join_cohort")
    name_of = dict(zip(names["nsd_id"].tolist(), names["image"], strict=True))
    pairs = [
        (
            pair.rows[1],
            name_of.get(pair.rows[0], pair.rows[0]),
            pair.rows[0],
            SPLIT_OF_RANK[pair.splits[0]],
            int(pair.is_equal),
            pair.bits,
            round(pair.correlation, 4),
        )
        for pair in shared_pictures([held_out, external], most_bits)
    ]
    return pd.DataFrame(sorted(pairs), columns=list(_COLUMNS))
