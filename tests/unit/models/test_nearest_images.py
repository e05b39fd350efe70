"""The nearest training image of each response, in plain loops."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.baseline_subject import N_IMAGES, SETTINGS, TEST, TRAIN, VAL, write_subject

from brainit.core.settings import BaselineSettings, ReconSettings
from brainit.data.images import ImageStore
from brainit.models.baselines.nearest_images import NearestJob, nearest_images


@pytest.mark.parametrize(
    ("duration", "is_new", "k"), [("40h", False, 1), ("40h", False, 3), ("1h", True, 1)]
)
def test_images_are_those_of_plain_loops(
    tmp_path: Path, duration: str, is_new: bool, k: int
) -> None:
    write_subject(tmp_path)
    betas, trials = np.load(tmp_path / "betas.npy"), pd.read_csv(tmp_path / "trials.csv")
    pixels = ImageStore(tmp_path / "stimuli").pixels(np.arange(N_IMAGES)).astype(float)
    known = trials[trials["session"] == 1] if duration == "1h" else trials

    def mean(image: int, table: pd.DataFrame) -> np.ndarray:
        rows = table["trial"][table["nsd_id"] == image]
        return betas[rows].astype(np.float32).mean(0).astype(np.float16).astype(float)

    own = [*TRAIN, *VAL] if is_new else list(TRAIN)
    candidates = [image for image in own if (known["nsd_id"] == image).any()]
    job = NearestJob(
        "subj02",
        duration,
        tmp_path / "betas.npy",
        tmp_path / "trials.csv",
        tmp_path / "stimuli",
        is_new,
    )
    settings = SETTINGS.model_copy(
        update={"baselines": BaselineSettings(k=k), "recon": ReconSettings(max_images=4)}
    )
    ids, images = nearest_images(job, settings)
    assert ids.tolist() == list(TEST)[:4] and images.dtype == np.uint8
    for nsd_id, picture in zip(ids, images, strict=True):
        response = mean(nsd_id, trials)
        r = [np.corrcoef(response, mean(image, known))[0, 1] for image in candidates]
        best = [candidates[i] for i in np.argsort(r)[::-1][:k]]
        np.testing.assert_array_equal(picture, pixels[best].mean(0).round())
