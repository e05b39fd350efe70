"""Split images into training, validation and test images (paper 5.1, D.1, D.5).

A subject's own images train, except a share for validation. Shared images never train; those of the
chosen test set are test images.

Differs from the paper: the paper does not name its shared images; `nsd.test_set` does. Each test
set follows from the order of presentation, which is the same for every subject.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError

FEWEST_SESSIONS = 30
"""Sessions that every subject completed (subj04 and subj08; NSD manual)."""
FIRST_RELEASE_SESSIONS = 37
"""Sessions of a 40-session subject before the last three were published in August 2023."""

_TEST_SETS: dict[str, tuple[int | None, bool]] = {
    "shared1000": (None, False),
    "shared982": (FIRST_RELEASE_SESSIONS, False),
    "shared907": (FEWEST_SESSIONS, False),
    "shared515": (FEWEST_SESSIONS, True),
}
"""Number of sessions (None: all), and whether all presentations must lie within them."""


def test_images(planned: pd.DataFrame, test_set: str) -> NDArray[np.int64]:
    """Return the nsd_ids of a test set, ascending, from the planned trials of any subject.

    shared1000: all shared images; shared982: those shown in the first 37 sessions; shared907: those
    shown in the 30 sessions that every subject completed; shared515: those with all presentations
    in these 30 sessions. Raises `PipelineError` for an empty test set.
    """
    n_sessions, must_be_complete = _TEST_SETS[test_set]
    shared = planned[planned["is_shared"]]
    if n_sessions is None:
        return np.unique(shared["nsd_id"].to_numpy(dtype=np.int64))
    n_planned = shared.groupby("nsd_id").size()
    shown = shared[shared["session"] <= n_sessions].groupby("nsd_id").size()
    if must_be_complete:
        shown = shown[shown == n_planned.loc[shown.index]]
    if shown.empty:
        raise PipelineError(
            "nsd.test_set",
            f"images of {test_set}",
            "none",
            "use nsd.test_set: shared1000",
            code="missing-data",
        )
    return np.sort(shown.index.to_numpy(dtype=np.int64))


def validation_images(
    own_images: NDArray[np.int64], share: float, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw a share of the images without replacement, rounded to whole images, ascending."""
    n_images = round(share * len(own_images))
    return np.sort(generator.choice(np.sort(own_images), size=n_images, replace=False))


def split_names(
    nsd_id: NDArray[np.int64],
    is_shared: NDArray[np.bool_],
    test: NDArray[np.int64],
    validation: NDArray[np.int64],
) -> NDArray[Any]:
    """Return train, val, test or unused (a shared image outside the test set) for each trial."""
    unshared = np.where(np.isin(nsd_id, validation), "val", "train")
    shared = np.where(np.isin(nsd_id, test), "test", "unused")
    return np.where(is_shared, shared, unshared)
