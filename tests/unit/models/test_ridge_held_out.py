"""Rows left out in closed form: golden values, and fits without each image's repeats."""

from pathlib import Path

import numpy as np
import pytest
from tests.refusals import refused
from tests.unit.models.ridge_examples import made_up, read_golden

from brainit.models.baselines.held_out import LeftOutRows, choose_alpha, held_out_errors
from brainit.models.baselines.ridge import fit_ridge

ALPHAS = (0.5, 20.0, 300.0)


@pytest.mark.parametrize("is_dual", [True, False])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_repeats_of_an_image_are_left_out_together(is_dual: bool, alpha: float) -> None:
    betas, targets, _ = made_up(24, 40)
    groups = np.arange(24) % 9
    ridge = fit_ridge(betas, is_dual=is_dual)
    weights = LeftOutRows(ridge, groups).weights(alpha)
    for row in range(24):
        assert not np.abs(weights[row, groups == groups[row]]).max() > 1e-12
    for group in range(9):
        without = groups != group
        alone = fit_ridge(betas[without], sd=ridge.sd)
        expected = alone.predict(betas[~without], targets[without], alpha)
        np.testing.assert_allclose(weights[~without] @ targets, expected, atol=1e-8)


def test_some_rows_are_predicted_as_among_all() -> None:
    betas, targets, _ = made_up(24, 40)
    groups = np.arange(24) % 9
    ridge = fit_ridge(betas)
    rows = np.flatnonzero(np.isin(groups, [4, 1]))
    all_rows, some = LeftOutRows(ridge, groups), LeftOutRows(ridge, groups, rows)
    np.testing.assert_allclose(some.weights(3.0), all_rows.weights(3.0)[rows], atol=1e-12)
    errors = held_out_errors(some, targets, targets[rows], ALPHAS)
    predicted = all_rows.weights(ALPHAS[1])[rows] @ targets
    np.testing.assert_allclose(errors[1], ((predicted - targets[rows]) ** 2).mean(0))


def test_golden_errors_of_single_rows(golden_dir: Path) -> None:
    golden, targets = read_golden(golden_dir)
    held_out = LeftOutRows(fit_ridge(golden["train_betas"]), np.arange(60))
    errors = held_out_errors(held_out, targets, targets, golden["alphas"].tolist())
    np.testing.assert_allclose(errors, golden["loo_mse"], rtol=2e-5)


def test_the_penalty_with_the_least_error_is_chosen() -> None:
    betas, targets, _ = made_up(24, 40)
    held_out = LeftOutRows(fit_ridge(betas), np.arange(24))
    errors = held_out_errors(held_out, targets, targets, ALPHAS).mean(1)
    assert choose_alpha(held_out, targets, targets, ALPHAS) == ALPHAS[int(errors.argmin())]


def test_refuses_a_single_image() -> None:
    betas, _, _ = made_up(24, 40)
    ridge = fit_ridge(betas)
    with refused("missing-data", "1 image"):
        LeftOutRows(ridge, np.zeros(24, dtype=np.int64))
