"""A small subject for the baselines: repeated training images, validation and test images."""

from pathlib import Path

import numpy as np
import pandas as pd

from brainit.core.settings import (
    BaselineSettings,
    FeatureSettings,
    NsdSettings,
    ReconSettings,
    RunSettings,
    Settings,
)
from brainit.core.shards import write_shards
from brainit.data.trials import write_trials

SETTINGS = Settings(
    run=RunSettings(device="cpu", threads=1),
    features=FeatureSettings(
        vgg="demo_vgg_bn", semantic_tokens="demo_openclip", generator="demo_unclip", refiner="none"
    ),
    nsd=NsdSettings(),
    recon=ReconSettings(batch=2, n_steps=2, start_step=1),
    baselines=BaselineSettings(alphas=(0.01, 0.1, 1.0, 10.0), pixel_side=16),
)
N_IMAGES, N_VOXELS, SIDE = 24, 40, 64
TRAIN, VAL, TEST = range(0, 14), range(14, 19), range(19, 24)
TOKENS = (3, 4)


def write_subject(folder: Path) -> None:
    """Write betas, trials, stimuli and cached tokens, which the betas hold with noise.

    Images have one to three trials; the first 30 trials are of session 1, a voxel is constant.
    """
    generator = np.random.default_rng(2)
    pixels = generator.integers(0, 256, (N_IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
    write_shards(folder / "stimuli", iter([pixels]))
    tokens = generator.normal(size=(N_IMAGES, *TOKENS)).astype(np.float16)
    write_shards(folder / "tokens", iter([tokens]))
    nsd_id = generator.permutation(np.repeat(np.arange(N_IMAGES), np.arange(N_IMAGES) % 3 + 1))
    table = pd.DataFrame({"trial": np.arange(len(nsd_id)), "nsd_id": nsd_id, "run": 1})
    table["session"] = 1 + (table["trial"] >= 30)
    table["trial_in_session"] = table.groupby("session").cumcount()
    table["repeat"] = table.groupby("nsd_id").cumcount()
    table["is_shared"] = table["nsd_id"].isin(TEST)
    table["split"] = np.select(
        [table["nsd_id"].isin(part) for part in (TRAIN, VAL)], ["train", "val"], "test"
    )
    write_trials(folder / "trials.csv", table)
    shown = tokens.reshape(N_IMAGES, -1)[nsd_id].astype(float)
    betas = shown @ generator.normal(size=(shown.shape[1], N_VOXELS))
    betas += 2 * generator.normal(size=betas.shape)
    betas[:, 5] = 0.25
    np.save(folder / "betas.npy", betas.astype(np.float16))
