"""Training of the encoder: batches, score, overfitting, determinism, transfer, precision."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.small_models import SHORT_TRAINING, SMALL_ENCODER, small_backbone
from torch import Tensor, nn

from brainit.core.seeds import torch_generator
from brainit.core.settings import Settings
from brainit.core.shards import ShardedArray, write_shards
from brainit.core.streams import numpy_generator
from brainit.data.fmri import FmriPool, SubjectFmri
from brainit.data.images import ImageStore
from brainit.models.voxel_encoder import VoxelEncoder
from brainit.training.encoder import (
    adapt_encoder,
    encoder_loss,
    train_encoder,
    validate,
    voxel_correlation,
)
from brainit.training.encoder_examples import EncoderExamples, shift_images
from brainit.training.loader import Slot
from brainit.training.synthesis import synthesize_fmri

CPU = torch.device("cpu")
N_IMAGES = 24
_CHANGES = {"dropout": 0.0, "epochs": 14, "transfer_epochs": 20, "max_shift_px": 0}
_ALL_VOXELS = {"voxel_sampling": "without_replacement", "plateau_patience": 50}
OPTIONS = SMALL_ENCODER.model_copy(update={**SHORT_TRAINING, **_CHANGES, **_ALL_VOXELS})


@pytest.fixture(scope="module")
def backbone() -> nn.Module:
    return small_backbone()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    folder = tmp_path_factory.mktemp("stimuli")
    pixels = numpy_generator(1, "pixels").integers(256, size=(N_IMAGES, 8, 8, 3), dtype=np.uint8)
    write_shards(folder, iter([pixels]))
    return ImageStore(folder)


def fmri(images: ImageStore, subject: str, n_voxels: int) -> SubjectFmri:
    """Responses to the mean colour of the left half, differently weighted by each voxel."""
    index = np.arange(N_IMAGES)
    colour = images.images(index)[..., :4].mean(dim=(2, 3)).numpy()
    colour = (colour - colour.mean(axis=0)) / colour.std(axis=0)
    weights = numpy_generator(2, subject).standard_normal((3, n_voxels))
    betas = (colour @ weights / 2).astype(np.float16)
    return SubjectFmri(subject, betas, index, np.ones(N_IMAGES, np.int64))


@pytest.fixture(scope="module")
def pool(images: ImageStore) -> FmriPool:
    loaded = {"subj01": fmri(images, "subj01", 10), "subj05": fmri(images, "subj05", 7)}
    return FmriPool(("subj01", "subj05"), loaded, loaded)


@pytest.fixture(scope="module")
def trained(
    pool: FmriPool, images: ImageStore, backbone: nn.Module
) -> tuple[VoxelEncoder, list[float]]:
    encoder, history = train_encoder(pool, images, backbone, Settings(encoder=OPTIONS), CPU)
    assert list(history) == ["epoch", "train_loss", "val_median_r", "val_p75_r", "lr"]
    assert len(history) == 14
    return encoder, history["val_p75_r"].tolist()


def test_correlation_equals_numpy() -> None:
    generator = torch_generator(1, "values")
    first, second = (torch.randn(20, 5, generator=generator) for _ in range(2))
    second[:, 2] = 3.0
    found = voxel_correlation(first, second)
    for voxel in (0, 1, 3, 4):
        expected = np.corrcoef(first[:, voxel], second[:, voxel])[0, 1]
        assert float(found[voxel]) == pytest.approx(expected, abs=1e-6)
    assert float(found[2]) == 0.0


@pytest.mark.parametrize(
    ("kind", "mse", "cosine"),
    [("mse_minus_tenth_cosine", 1.0, 0.1), ("tenth_mse_minus_cosine", 0.1, 0.9)],
)
def test_loss_equals_loops(kind: str, mse: float, cosine: float) -> None:
    generator = torch_generator(1, "loss")
    a, b = (torch.randn(3, 6, generator=generator) for _ in range(2))
    square = np.mean(
        [(float(x) - float(y)) ** 2 for x, y in zip(a.ravel(), b.ravel(), strict=True)]
    )
    angles = [float(x @ y / (x.norm() * y.norm())) for x, y in zip(a, b, strict=True)]
    expected = mse * square - cosine * np.mean(angles)
    assert float(encoder_loss(a, b, kind)) == pytest.approx(expected, rel=1e-5)


def test_shift_fills_with_the_edge() -> None:
    images = torch.rand(6, 3, 5, 5, generator=torch_generator(1, "images"))
    shifts = torch.randint(-2, 3, (6, 2), generator=torch_generator(3, "shift"))
    found = shift_images(images, shifts)
    for image, (down, right) in enumerate(shifts.tolist()):
        for row in range(5):
            for column in range(5):
                source = (min(max(row - down, 0), 4), min(max(column - right, 0), 4))
                assert torch.equal(found[image, :, row, column], images[image][:, *source])
    assert torch.equal(shift_images(images, torch.zeros_like(shifts)), images)


@pytest.mark.parametrize(("sampling", "n_draws"), [("with", 30), ("without", 7)])
def test_epoch_gives_each_example_once_with_its_own_voxels(
    pool: FmriPool, images: ImageStore, sampling: str, n_draws: int
) -> None:
    """With replacement all 30 draws count, without at most the 7 voxels of the smallest subject."""
    first = {"subj01": 0, "subj05": 10}
    changes = {"voxels_per_example": 30, "voxel_sampling": f"{sampling}_replacement"}
    options = OPTIONS.model_copy(update=changes)
    examples = EncoderExamples(list(pool.train.values()), first, images, 8, options)
    drawn = list(examples.draws(torch_generator(1, "epoch")))
    assert all(part.shifts is None for part in drawn), "none without a largest shift"
    batches = [examples.read(part, Slot()) for part in drawn]
    assert len(batches) == examples.n_batches == 6
    shown = images.images(np.arange(N_IMAGES))
    seen = []
    for batch in batches:
        for image, voxels, measured in zip(
            examples.shown(batch, CPU), batch.voxel_index, batch.measured, strict=True
        ):
            nsd_id = int(torch.nonzero((shown == image).all(dim=(1, 2, 3)))[0])
            subject = "subj01" if int(voxels[0]) < 10 else "subj05"
            local = voxels - first[subject]
            assert len(local) == n_draws and len(local.unique()) <= pool.n_voxels[subject]
            assert sampling == "with" or len(local.unique()) == 7
            expected = pool.train[subject].betas[nsd_id][local.numpy()].astype(np.float32)
            assert np.array_equal(measured.numpy(), expected)
            seen.append((subject, nsd_id))
    assert len(set(seen)) == 2 * N_IMAGES


def test_small_set_is_learned_and_best_epoch_kept(
    trained: tuple[VoxelEncoder, list[float]], pool: FmriPool, images: ImageStore
) -> None:
    encoder, scores = trained
    assert max(scores) > max(0.95, scores[-1] + 0.01), "the last epoch is not the best"
    assert validate(encoder, pool.val, images)[1] == pytest.approx(max(scores), abs=1e-6)


def test_same_seed_same_weights_other_seed_others(
    pool: FmriPool, images: ImageStore, backbone: nn.Module
) -> None:
    options = OPTIONS.model_copy(update={"epochs": 2, "dropout": 0.25, "max_shift_px": 1})
    found: list[Tensor] = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(found))
        settings = Settings(encoder=options).model_copy(deep=True)
        settings = settings.model_copy(
            update={"run": settings.run.model_copy(update={"seed": seed})}
        )
        encoder, _ = train_encoder(pool, images, backbone, settings, CPU)
        found.append(encoder.voxel_embedding.detach())
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_rate_falls_when_validation_stops_rising(
    pool: FmriPool, images: ImageStore, backbone: nn.Module
) -> None:
    changes = {"epochs": 5, "plateau_patience": 1, "plateau_threshold": 2.0}
    settings = Settings(encoder=OPTIONS.model_copy(update=changes))
    _, history = train_encoder(pool, images, backbone, settings, CPU)
    assert np.allclose(history["lr"], [3e-2, 3e-2, 3e-2, 3e-3, 3e-3])


def test_transfer_changes_voxel_vectors_only(
    trained: tuple[VoxelEncoder, list[float]], images: ImageStore
) -> None:
    base, _ = trained
    before = {name: value.clone() for name, value in base.own_state().items()}
    new = fmri(images, "subj02", 9)
    encoder, history = adapt_encoder(base, new, images, Settings(encoder=OPTIONS), CPU)
    assert encoder.subjects == ("subj02",) and len(history) == OPTIONS.transfer_epochs
    assert history["val_p75_r"].isna().all()
    for name, value in encoder.own_state().items():
        assert torch.equal(base.own_state()[name], before[name])
        if name != "voxel_embedding":
            assert torch.equal(value, before[name])
    assert validate(encoder, {"subj02": new}, images)[1] > 0.9


@pytest.mark.parametrize(("name", "dtype"), [("auto", "float32"), ("bfloat16", "bfloat16")])
def test_training_transfer_and_prediction_run_as_the_settings_say(
    pool: FmriPool,
    images: ImageStore,
    backbone: nn.Module,
    tmp_path: Path,
    name: str,
    dtype: str,
) -> None:
    options = OPTIONS.model_copy(update={"precision": name, "transfer_epochs": 1})
    settings, seen = Settings(encoder=options), []
    spy = backbone.blocks[0].qkv.register_forward_hook(lambda *call: seen.append(call[2].dtype))
    try:
        short = Settings(encoder=options.model_copy(update={"epochs": 1}))
        encoder, _ = train_encoder(pool, images, backbone, short, CPU)
        synthesize_fmri(load_again(encoder), images, settings, CPU, tmp_path)
        adapt_encoder(encoder, fmri(images, "subj02", 9), images, settings, CPU)
    finally:
        spy.remove()
    assert len(seen) >= 6 + 2 + 1 + 3, "batches of training, validation, prediction, transfer"
    assert set(seen) == {getattr(torch, dtype)}
    rows = ShardedArray(tmp_path / "subj05").rows(np.arange(N_IMAGES)).astype(np.float32)
    wanted = load_again(encoder).predict(images.images(np.arange(N_IMAGES)), slice(10, 17)).numpy()
    error = np.linalg.norm(rows - wanted) / np.linalg.norm(wanted)
    assert error < (0.02 if name == "bfloat16" else 1e-3)


def load_again(encoder: VoxelEncoder) -> VoxelEncoder:
    """Return a copy that has the weights and not the precision, as from a file."""
    copy = VoxelEncoder(encoder.backbone, encoder.settings, encoder.n_voxels)
    copy.load_own_state(encoder.own_state())
    return copy.eval()
