"""The made-up examples of the training tests, which only read them."""

import numpy as np
import pytest
from tests.unit.training.tiny_examples import N_EXTERNAL, N_VOXELS, fmri

from brainit.core.shards import ShardedArray, write_shards
from brainit.data.images import ImageStore
from brainit.training.examples import BatchImages, ExampleSource


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> ExampleSource:
    folder = tmp_path_factory.mktemp("predicted")
    rng = np.random.default_rng(3)
    synthetic = {}
    for subject, n in N_VOXELS.items():
        rows = rng.normal(size=(N_EXTERNAL, n)).astype(np.float16)
        write_shards(folder / subject, iter([rows[:4], rows[4:]]))
        synthetic[subject] = ShardedArray(folder / subject)
    real = {"subj01": fmri("subj01", 5, 0), "subj02": fmri("subj02", 4, 5)}
    return ExampleSource(real, synthetic, {"subj01": slice(0, 12), "subj02": slice(12, 21)})


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> BatchImages:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(5)
    stores = []
    for name, n in (("stimuli", 9), ("external", N_EXTERNAL)):
        pixels = rng.integers(0, 256, (n, 64, 64, 3), dtype=np.uint8)
        write_shards(folder / name, iter([pixels]))
        stores.append(ImageStore(folder / name))
    return BatchImages(stores[0], stores[1])
