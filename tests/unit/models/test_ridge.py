"""Ridge in closed form: scikit-learn, himalaya and golden values, both forms, blocks = whole."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge as PlainRidge
from sklearn.preprocessing import StandardScaler
from tests.refusals import refused
from tests.unit.models.ridge_examples import Array, flat, made_up, read_golden

from brainit.core.streams import numpy_generator
from brainit.models.baselines import ridge as ridge_module
from brainit.models.baselines.held_out import ValidationRows, choose_alpha, held_out_errors
from brainit.models.baselines.ridge import fit_ridge
from brainit.models.baselines.streaming import (
    Moments,
    StreamedProducts,
    rescaled,
    weights_by_image,
)


def by_scikit_learn(betas: Array, targets: Array, new: Array, alpha: float) -> Array:
    scaler = StandardScaler().fit(betas)
    shrink = np.sqrt((len(betas) - 1) / len(betas))  # scikit-learn's deviation divides by n
    model = PlainRidge(alpha=alpha).fit(scaler.transform(betas) * shrink, targets)
    predicted: Array = model.predict(scaler.transform(new) * shrink)
    return predicted


@pytest.mark.parametrize(("n_rows", "n_voxels"), [(30, 50), (50, 30)])
@pytest.mark.parametrize("alpha", [0.01, 10.0, 5000.0])
def test_predictions_are_those_of_scikit_learn(n_rows: int, n_voxels: int, alpha: float) -> None:
    betas, targets, new = made_up(n_rows, n_voxels)
    expected = by_scikit_learn(betas, targets, new, alpha)
    np.testing.assert_allclose(fit_ridge(betas).predict(new, targets, alpha), expected, atol=1e-8)


@pytest.mark.parametrize(("n_rows", "n_voxels"), [(30, 50), (50, 30)])
def test_both_forms_agree_and_blocks_give_the_whole(
    n_rows: int, n_voxels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    betas, targets, new = made_up(n_rows, n_voxels)
    whole = fit_ridge(betas)
    assert whole.is_dual == (n_rows < n_voxels)
    monkeypatch.setattr(ridge_module, "_ROWS_PER_BLOCK", 7)
    for is_dual in (True, False):
        other = fit_ridge(betas, is_dual=is_dual)
        expected = whole.predict(new, targets, 3.0)
        np.testing.assert_allclose(other.predict(new, targets, 3.0), expected, atol=1e-9)
        assert other.mean_eigenvalue == pytest.approx(whole.mean_eigenvalue)
    n_varying = n_voxels - 1
    assert whole.mean_eigenvalue == pytest.approx(n_varying * (n_rows - 1) / n_rows)


def test_weights_of_each_row_sum_to_one() -> None:
    betas, _, new = made_up(30, 50)
    ridge = fit_ridge(betas)
    sums = ridge.weights(ridge.coordinates(new), 2.0).sum(1)
    np.testing.assert_allclose(sums, 1.0, atol=1e-12)


def test_refuses_responses_that_do_not_vary() -> None:
    betas = np.ones((5, 4), dtype=np.float16)
    with refused("bad-values", "0 voxels"):
        fit_ridge(betas)
    with refused("bad-values", "1 rows"):
        fit_ridge(np.eye(4)[:1])


@pytest.mark.parametrize("name", ["1", "100", "60000"])
def test_golden_predictions_and_rescaling(golden_dir: Path, name: str) -> None:
    golden, targets = read_golden(golden_dir)
    betas, new, held_out = golden["train_betas"], golden["test_betas"], golden["validation"]
    whole = fit_ridge(betas)
    predicted = whole.predict(new, targets, float(name))
    np.testing.assert_allclose(predicted, flat(golden[f"alpha{name}/predicted"]), atol=2e-6)
    fitted = fit_ridge(betas[~held_out], sd=betas.astype(float).std(0, ddof=1))
    predicted = fitted.predict(new, targets[~held_out], float(name))
    expected = golden[f"alpha{name}/predicted_fit_without_validation"]
    np.testing.assert_allclose(predicted, flat(expected), atol=2e-6)
    known = fitted.predict(betas[held_out], targets[~held_out], float(name))
    out = rescaled(predicted, Moments.of(known), Moments.of(targets[~held_out]))
    expected = golden[f"alpha{name}/restandardised_on_validation"]
    np.testing.assert_allclose(out, flat(expected), atol=2e-6)


def test_golden_choice_of_the_penalty(golden_dir: Path) -> None:
    golden, targets = read_golden(golden_dir)
    betas, is_held_out = golden["train_betas"], golden["validation"]
    ridge = fit_ridge(betas[~is_held_out], sd=betas.astype(float).std(0, ddof=1))
    held_out = ValidationRows(ridge, betas[is_held_out])
    known, true, alphas = targets[~is_held_out], targets[is_held_out], golden["alphas"].tolist()
    errors = held_out_errors(held_out, known, true, alphas)
    np.testing.assert_allclose(errors, golden["validation_mse"], rtol=2e-5)
    assert choose_alpha(held_out, known, true, alphas) == float(golden["alpha_shared"])
    np.testing.assert_array_equal(np.array(alphas)[errors.argmin(0)], golden["alpha_per_target"])


def test_predictions_are_those_of_himalaya() -> None:
    himalaya = pytest.importorskip("himalaya.ridge", reason="himalaya is not installed")
    betas, targets, new = made_up(40, 25)
    ridge = fit_ridge(betas)
    alphas = [float(ridge.mean_eigenvalue * factor) for factor in (0.01, 0.1, 1.0, 10.0)]
    varies = ridge.sd > 0
    z, z_new = ((b[:, varies] - ridge.mean[varies]) / ridge.sd[varies] for b in (betas, new))
    for alpha in alphas:
        model = himalaya.Ridge(alpha=alpha, fit_intercept=True).fit(z, targets)
        expected = np.asarray(model.predict(z_new))
        np.testing.assert_allclose(ridge.predict(new, targets, alpha), expected, atol=1e-7)


def test_streamed_targets_of_repeated_images_give_the_whole() -> None:
    betas, targets, new = made_up(30, 50)
    generator = numpy_generator(3, "images")
    nsd_id = generator.choice(np.array([7, 2, 11, 5, 40, 23]), size=30)
    images = np.unique(nsd_id)
    of_image = targets[: len(images)].astype(np.float32)
    ridge = fit_ridge(betas)
    expected = ridge.predict(new, of_image[np.searchsorted(images, nsd_id)], 2.0)
    weights = ridge.weights(ridge.coordinates(new), 2.0)
    by_image = weights_by_image(weights, nsd_id, images)
    slices = (slice(0, 2), slice(2, 7))
    for size in (1, 4, 6):
        products = StreamedProducts([by_image, 2 * by_image], slices, 7)
        for start in range(0, len(images), size):
            products.add(of_image[start : start + size])
        np.testing.assert_allclose(products.values, expected * [1, 1, 2, 2, 2, 2, 2], rtol=2e-5)
    products = StreamedProducts([by_image], [slice(0, 7)], 7)
    products.add(of_image[:5])
    with pytest.raises(ValueError, match="5 images"):
        assert products.values.size


def test_moments_of_blocks_are_those_of_all_rows() -> None:
    values = numpy_generator(1, "moments").standard_normal((20, 3)) + 100.0
    counts = np.arange(1, 21)
    moments = Moments.of(values[:6], counts[:6]).merged(Moments.of(values[6:], counts[6:]))
    repeated = np.repeat(values, counts, axis=0)
    np.testing.assert_allclose(moments.mean, repeated.mean(0))
    np.testing.assert_allclose(moments.sd, repeated.std(0))


def test_rescaled_predictions_have_the_training_moments_and_never_look_at_each_other() -> None:
    generator = numpy_generator(2, "rescaled")
    known, training = generator.standard_normal((40, 4)) * 0.3, generator.standard_normal((90, 4))
    known[:, 2] = 1.0
    held_out, true = Moments.of(known), Moments.of(training)
    out = rescaled(known, held_out, true)
    np.testing.assert_allclose(out.mean(0), training.mean(0))
    np.testing.assert_allclose(out[:, [0, 1, 3]].std(0), training[:, [0, 1, 3]].std(0))
    assert not out[:, 2].std()
    for row in range(3):
        alone = rescaled(known[row : row + 1], held_out, true)
        np.testing.assert_array_equal(alone[0], out[row])
