"""Halves of the training images, for two encoders that share no training image."""

import pandas as pd

from brainit.core.errors import PipelineError
from brainit.core.streams import derived_seed

HALVES = ("half_a", "half_b")


def half_of_trials(trials: pd.DataFrame, half: str, seed: int) -> pd.DataFrame:
    """Return a trial table in which the training images of the other half are `unused`.

    An image is in one half for all subjects, drawn by its id, so that all trials of an image stay
    together. Validation and test stay as they are. Raises `PipelineError` for another half.
    """
    if half not in HALVES:
        fix = "write --half half_a or --half half_b"
        raise PipelineError("--half", " or ".join(HALVES), half, fix, code="invalid-argument")
    side = HALVES.index(half)
    images = trials["nsd_id"].unique()
    kept = {int(i) for i in images if derived_seed(seed, "half", int(i)) % 2 == side}
    is_other = (trials["split"] == "train") & ~trials["nsd_id"].isin(kept)
    return trials.assign(split=trials["split"].mask(is_other, "unused"))
