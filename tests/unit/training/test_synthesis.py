"""Predicted fMRI of a pool: the files of each subject alone, written as they come, or no index."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.refusals import refused
from torch import nn

from brainit.core.seeds import seeded_init
from brainit.core.settings import EncoderSettings, ImageSettings, Settings, SynthesisSettings
from brainit.core.shards import ShardedArray, write_shards
from brainit.data.images import ImageStore
from brainit.features.encoder_backbone import EncoderBackbone
from brainit.features.weights_file import freeze
from brainit.models.voxel_encoder import VoxelEncoder
from brainit.training.synthesis import synthesize_fmri

CPU = torch.device("cpu")
N_IMAGES = 24
N_VOXELS = {"subj01": 600, "subj02": 7, "subj05": 513}
"""More and fewer voxels than are predicted at once."""
SETTINGS = Settings(images=ImageSettings(rows_per_shard=10), synthesis=SynthesisSettings(batch=4))


def make_images(folder: Path, n_images: int) -> ImageStore:
    pixels = np.random.default_rng(1).integers(256, size=(n_images, 8, 8, 3), dtype=np.uint8)
    write_shards(folder, iter([pixels]))
    return ImageStore(folder)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    return make_images(tmp_path_factory.mktemp("external"), N_IMAGES)


def make_encoder(n_voxels: dict[str, int]) -> VoxelEncoder:
    with seeded_init(1, "encoder"):
        network = EncoderBackbone(
            image_size=8, patch=4, width=12, n_blocks=2, n_heads=2, n_registers=1, layers=(1, 2)
        )
        options = EncoderSettings(feature_width=6, voxel_width=8, adapter_rank=2)
        encoder = VoxelEncoder(freeze(network), options, n_voxels)
        nn.init.normal_(encoder.voxel_embedding)
    return encoder.eval()


@pytest.fixture
def encoder() -> VoxelEncoder:
    return make_encoder(N_VOXELS)


def alone(encoder: VoxelEncoder, subject: str, images: ImageStore, out: Path) -> None:
    """Write one subject's files the plain way: shard by shard, batch by batch."""
    out.mkdir(parents=True)
    for number, (start, stop) in enumerate([(0, 10), (10, 20), (20, 24)]):
        rows = []
        for first in range(start, stop, 4):
            index = np.arange(first, min(first + 4, stop))
            predicted = encoder.predict(images.images(index), encoder.voxel_slice(subject))
            rows.append(predicted.numpy().astype(np.float16))
        np.save(out / f"shard_00{number}.npy", np.concatenate(rows))
    attributes = {"subject": subject, "n_voxels": N_VOXELS[subject]}
    index = {"n_rows": [10, 10, 4], "row_shape": [N_VOXELS[subject]], "dtype": "float16"}
    (out / "shards.json").write_text(json.dumps({**index, "attributes": attributes}))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_pools_files_are_those_of_each_subject_alone(
    encoder: VoxelEncoder, images: ImageStore, tmp_path: Path
) -> None:
    for subject in N_VOXELS:
        alone(encoder, subject, images, tmp_path / "alone" / subject)
    synthesize_fmri(encoder, images, SETTINGS, CPU, tmp_path / "pool")
    assert contents(tmp_path / "pool") == contents(tmp_path / "alone")
    assert len(contents(tmp_path / "pool")) == 3 * (3 + 1)
    rows = ShardedArray(tmp_path / "pool" / "subj05").rows(np.arange(N_IMAGES))
    assert rows.astype(np.float32).std() > 0.1 and not np.array_equal(rows[0], rows[1])
    synthesize_fmri(encoder, images, SETTINGS, CPU, tmp_path / "pool")
    assert contents(tmp_path / "pool") == contents(tmp_path / "alone"), "once more, over them"


def test_the_backbone_sees_each_image_once(
    encoder: VoxelEncoder, images: ImageStore, tmp_path: Path
) -> None:
    seen: list[int] = []
    encoder.backbone.blocks[0].register_forward_hook(lambda *call: seen.append(len(call[2])))
    synthesize_fmri(encoder, images, SETTINGS, CPU, tmp_path)
    assert seen == [4, 4, 2, 4, 4, 2, 4]


def test_no_more_than_some_batches_are_in_memory(tmp_path: Path) -> None:
    """One shard of 320 kB, a batch of which has 16 kB."""
    images, encoder = make_images(tmp_path / "external", 80), make_encoder({"subj01": 2000})
    settings = SETTINGS.model_copy(update={"images": ImageSettings(rows_per_shard=80)})
    tracemalloc.start()
    try:
        synthesize_fmri(encoder, images, settings, CPU, tmp_path / "out")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "out/subj01/shard_000.npy").stat().st_size > 80 * 2000 * 2
    assert most < 100_000


def test_after_a_failure_nothing_looks_whole(
    encoder: VoxelEncoder, images: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images cannot be read from the 15th on: in the middle of the second shard."""
    synthesize_fmri(encoder, images, SETTINGS, CPU, tmp_path)
    for path in tmp_path.glob("*/shard_*.npy"):
        path.unlink()
    readable = ImageStore.images

    def broken(store: ImageStore, index: np.ndarray) -> torch.Tensor:
        if index.max() >= 15:
            raise OSError("unreadable")
        return readable(store, index)

    monkeypatch.setattr(ImageStore, "images", broken)
    with pytest.raises(OSError, match="unreadable"):
        synthesize_fmri(encoder, images, SETTINGS, CPU, tmp_path)
    monkeypatch.undo()
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {f"{subject}/shard_000.npy" for subject in N_VOXELS}
    for subject in N_VOXELS:
        with refused("missing-file", "shards.json"):
            ShardedArray(tmp_path / subject)
    synthesize_fmri(encoder, images, SETTINGS, CPU, tmp_path)
    alone(encoder, "subj02", images, tmp_path / "alone")
    assert contents(tmp_path / "subj02") == contents(tmp_path / "alone")


@pytest.mark.parametrize("value", [float("nan"), 1e6])
def test_predictions_that_are_no_float16_are_refused(
    encoder: VoxelEncoder, images: ImageStore, tmp_path: Path, value: float
) -> None:
    with torch.no_grad():
        encoder.voxel_embedding[encoder.voxel_slice("subj05")] *= value
    with refused("bad-values", "subj05", "train_encoder"):
        synthesize_fmri(encoder, images, SETTINGS, CPU, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
