"""The trial table of a lab's subject: its splits, and the table that every later step reads.

Without a column `split`, images shown more than once are the test and images shown once are for
training, as in BOLD5000. Validation images are drawn from the training images where none is named.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.settings import NsdSettings
from brainit.core.streams import numpy_generator
from brainit.data import splits


def lab_splits(table: pd.DataFrame) -> pd.Series:
    """Return the split of each row of `trials.csv`: as it says, or from repeats."""
    if "split" in table.columns:
        return table["split"]
    n_shown = table.groupby("image")["image"].transform("size")
    return pd.Series(np.where(n_shown > 1, "test", "train"), index=table.index)


def image_names(table: pd.DataFrame, is_array: bool) -> list[str]:
    """Return the images that are shown, each once, in the order of their rows in the image store.

    Names are sorted; row numbers of an array by value.
    """
    return sorted(set(table["image"]), key=int if is_array else str)


def pipeline_trials(
    table: pd.DataFrame, names: list[str], subject: str, nsd: NsdSettings, seed: int
) -> pd.DataFrame:
    """Return the trial table of the pipeline (`data.trials`); `nsd_id` is the place in `names`.

    No image is shared with another subject. `nsd.validation_share` of the training images become
    validation where the table names none.
    """
    row_of = {name: row for row, name in enumerate(names)}
    trials = table[["trial", "session", "run"]].astype(np.int64)
    trials["trial_in_session"] = trials.groupby("session").cumcount()
    trials["nsd_id"] = table["image"].map(row_of).astype(np.int64)
    trials["repeat"] = trials.groupby("nsd_id").cumcount()
    trials["is_shared"] = False
    trials["split"] = lab_splits(table)
    is_train = trials["split"] == "train"
    if not (trials["split"] == "val").any():
        generator = numpy_generator(seed, "validation", subject)
        own: NDArray[np.int64] = np.unique(trials.loc[is_train, "nsd_id"].to_numpy(np.int64))
        drawn = splits.validation_images(own, nsd.validation_share, generator)
        trials.loc[is_train & trials["nsd_id"].isin(drawn), "split"] = "val"
    return trials
