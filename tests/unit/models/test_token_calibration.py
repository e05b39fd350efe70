"""Calibrations against NumPy: per layer by least squares, per output by deviation; their files."""

from pathlib import Path

import numpy as np
import torch

from brainit.core.settings import BitSettings
from brainit.models.brain_transformer import BrainInteractionTransformer, load_bit, save_bit
from brainit.models.token_calibration import (
    Calibration,
    CalibrationFit,
    DeviationCalibration,
    DeviationFit,
    TokenCalibration,
)

LAYERS = [slice(0, 6), slice(6, 8)]
WIDTH = 4


def tables(n_images: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n_images, 8, WIDTH, generator=generator)
    return x, torch.randn(n_images, 8, WIDTH, generator=generator) + x.flip(-1)


def test_it_is_the_least_squares_fit_of_each_layer() -> None:
    x, y = tables(40)
    fit = CalibrationFit([6, 2], WIDTH, ridge=0.0)
    for start in range(0, 40, 7):
        fit.add(x[start : start + 7], y[start : start + 7])
    found = fit.solve()
    for k, place in enumerate(LAYERS):
        design = x[:, place].reshape(-1, WIDTH).double().numpy()
        design = np.concatenate([design, np.ones((len(design), 1))], axis=1)
        wanted = y[:, place].reshape(-1, WIDTH).double().numpy()
        expected = np.linalg.lstsq(design, wanted, rcond=None)[0]
        np.testing.assert_allclose(found.weight[k], expected[:-1], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.bias[k], expected[-1], rtol=1e-4, atol=1e-5)
        applied = found.apply(x)[:, place].reshape(-1, WIDTH)
        np.testing.assert_allclose(applied, design @ expected, rtol=1e-3, atol=1e-4)


def test_another_scale_of_predictions_changes_nothing() -> None:
    x, y = tables(40)
    results = []
    for scale in (1.0, 250.0):
        fit = CalibrationFit([6, 2], WIDTH)
        fit.add(scale * x, y)
        results.append(fit.solve().apply(scale * x))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-4)


def test_constant_predictions_give_the_mean() -> None:
    _, y = tables(40)
    fit = CalibrationFit([6, 2], WIDTH)
    fit.add(torch.ones_like(y), y)
    applied = fit.solve().apply(torch.ones(1, 8, WIDTH))
    for place in LAYERS:
        mean = y[:, place].mean((0, 1)).expand(place.stop - place.start, WIDTH)
        torch.testing.assert_close(applied[0, place], mean, rtol=1e-4, atol=1e-4)


def test_deviation_gives_each_output_mean_and_deviation_of_the_truth() -> None:
    x, y = tables(40)
    x = 0.3 * x + 2
    x[:, 3, 1] = 7.0  # predicted constant: stays so, at the true mean
    fit = DeviationFit()
    for start in range(0, 40, 7):
        fit.add(x[start : start + 7], y[start : start + 7])
    applied = fit.solve().apply(x).double().numpy()
    np.testing.assert_allclose(applied.mean(0), y.double().numpy().mean(0), atol=1e-5)
    wanted = y.double().numpy().std(0)
    wanted[3, 1] = 0
    np.testing.assert_allclose(applied.std(0), wanted, rtol=1e-4, atol=1e-5)
    ratio = (applied - applied.mean(0))[:, 0] / (x.double().numpy() - x.double().numpy().mean(0))[
        :, 0
    ]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0], ratio.shape), rtol=1e-3)


def test_a_bit_s_file_keeps_it(tmp_path: Path) -> None:
    settings = BitSettings(width=8, n_heads=2, n_blocks=1)
    model = BrainInteractionTransformer(
        voxel_cluster=torch.arange(6) % 2,
        n_clusters=2,
        n_queries=8,
        out_width=WIDTH,
        **settings.model_dump(),
    )
    kept = TokenCalibration(
        torch.randn(2, WIDTH, WIDTH), torch.randn(2, WIDTH), torch.tensor([6, 2])
    )
    deviation = DeviationCalibration(torch.randn(8, WIDTH), torch.randn(8, WIDTH))
    path = tmp_path / "bit.safetensors"
    every: tuple[Calibration | None, ...] = (kept, deviation, None)
    for calibration in every:
        save_bit(
            path,
            model,
            subjects={"subj01": 6},
            kind="lowlevel",
            settings=settings,
            seed=0,
            calibration=calibration,
        )
        loaded = load_bit(path).calibration
        if calibration is None:
            assert loaded is None
            continue
        assert type(loaded) is type(calibration)
        assert loaded is not None
        for name, tensor in calibration.tensors().items():
            assert torch.equal(loaded.tensors()[name], tensor)
