"""Ridge's released and banded forms: golden values of test-set statistics, bands as identity."""

from pathlib import Path

import numpy as np
import pytest
from tests.unit.models.ridge_examples import flat, read_golden

from brainit.models.baselines.ridge import fit_ridge
from brainit.models.baselines.streaming import Moments, rescaled


@pytest.mark.parametrize("name", ["1", "100", "60000"])
def test_golden_standardisation_over_the_test_images(golden_dir: Path, name: str) -> None:
    golden, targets = read_golden(golden_dir)
    predicted = flat(golden[f"alpha{name}/predicted"]).astype(np.float64)
    scaled = rescaled(predicted, Moments.of(predicted), Moments.of(targets))
    expected = flat(golden[f"alpha{name}/restandardised_on_test"])
    np.testing.assert_allclose(scaled, expected, rtol=1e-4, atol=1e-4)


def test_golden_bands_are_ridge_on_scaled_voxels(golden_dir: Path) -> None:
    """A band's log weight delta means plain ridge with alpha 1 on its voxels times exp(d / 2)."""
    golden, targets = read_golden(golden_dir)
    betas, new = golden["train_betas"], golden["test_betas"]
    mean, sd = betas.mean(0), betas.std(0, ddof=1)
    for output in range(targets.shape[1]):
        weight = np.exp(golden["banded/deltas"][golden["banded/bands"], output] / 2)
        z, z_new = ((values - mean) / sd * weight for values in (betas, new))
        ridge = fit_ridge(z, sd=np.ones(z.shape[1]))
        found = ridge.predict(z_new, targets[:, [output]], alpha=1.0)[:, 0]
        expected = flat(golden["banded/predicted"])[:, output]
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)
