"""InfoNCE by row block against the golden values, the whole matrix and plain loops."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.refusals import refused
from torch import Tensor

from brainit.core.seeds import torch_generator
from brainit.training.losses import Precision, infonce


def pool(n_tokens: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch_generator(1, "pool")
    target = torch.randn(n_tokens, 6, generator=generator, dtype=torch.float64)
    noise = torch.randn(n_tokens, 6, generator=generator, dtype=torch.float64)
    prediction = (scale * (target + noise)).requires_grad_()
    return prediction, target.requires_grad_()


def whole_matrix(prediction: Tensor, target: Tensor) -> Tensor:
    logits = prediction @ target.T
    own = torch.arange(len(logits))
    entropy = torch.nn.functional.cross_entropy
    return 0.5 * (entropy(logits, own) + entropy(logits.T, own))


def test_golden_loss_and_accuracy(golden_dir: Path) -> None:
    with np.load(golden_dir / "infonce_small.npz") as file:
        golden = dict(file)
    losses, hits, start = [], [], 0
    for count in golden["tokens_per_layer"]:
        layer = slice(start, start + count)
        prediction = torch.from_numpy(golden["prediction"][:, layer]).flatten(0, 1)
        target = torch.from_numpy(golden["target"][:, layer]).flatten(0, 1)
        loss, top1 = infonce(prediction, target, rows=5)
        losses.append(loss.item())
        hits.append(float(top1))
        start += count
    assert np.mean(losses) == pytest.approx(float(golden["loss"]), rel=1e-5)
    assert np.mean(hits) == pytest.approx(float(golden["accuracy"]), rel=1e-6)


@pytest.mark.parametrize("rows", [1, 4, 13, 17, 100])
@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_loss_and_gradients_equal_the_whole_matrix(rows: int, scale: float) -> None:
    prediction, target = pool(17, scale)
    loss, _ = infonce(prediction, target, rows=rows)
    expected = whole_matrix(prediction, target)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    found = torch.autograd.grad(3.0 * loss, [prediction, target])
    plain = torch.autograd.grad(3.0 * expected, [prediction, target])
    for mine, theirs in zip(found, plain, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def test_equation_in_plain_loops() -> None:
    """D.2: mean of -log p(own target | prediction) and -log p(own prediction | target)."""
    prediction, target = pool(7)
    total, hits = 0.0, 0
    for i in range(7):
        row = [math.exp((prediction[i] @ target[j]).item()) for j in range(7)]
        column = [math.exp((prediction[j] @ target[i]).item()) for j in range(7)]
        total -= 0.5 * (math.log(row[i] / sum(row)) + math.log(column[i] / sum(column)))
        hits += column[i] == max(column)
    loss, top1 = infonce(prediction, target, rows=3)
    assert loss.item() == pytest.approx(total / 7, rel=1e-12)
    assert float(top1) == pytest.approx(hits / 7)


def test_cosine_is_dot_of_unit_vectors_over_temperature() -> None:
    prediction, target = pool(9)
    loss, _ = infonce(prediction, target, rows=4, similarity="cosine", temperature=0.2)
    unit = [x / x.norm(dim=1, keepdim=True) for x in (prediction, target)]
    expected = whole_matrix(unit[0] / 0.2, unit[1])
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        torch.autograd.grad(loss, prediction)[0], torch.autograd.grad(expected, prediction)[0]
    )


def test_right_predictions_lose_nothing_and_all_find_their_target() -> None:
    target = 10.0 * torch.eye(8)
    loss, top1 = infonce(target, target, rows=3)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert float(top1) == 1.0


def test_equal_predictions_lose_log_n_and_find_nothing() -> None:
    loss, top1 = infonce(torch.ones(8, 4), torch.ones(8, 4), rows=3)
    assert loss.item() == pytest.approx(math.log(8), rel=1e-6)
    assert float(top1) == 0.0


def test_targets_without_gradient_are_left_alone() -> None:
    prediction, target = pool(5)
    loss, top1 = infonce(prediction, target.detach(), rows=2)
    assert not top1.requires_grad
    loss.backward()
    assert target.grad is None
    assert prediction.grad is not None


def test_half_precision_predictions_are_summed_in_float32() -> None:
    prediction, target = (x.detach().bfloat16() for x in pool(40))
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = infonce(prediction.requires_grad_(), target, rows=7)
    torch.testing.assert_close(loss, whole_matrix(prediction.float(), target.float()))
    loss.backward()
    assert prediction.grad is not None
    assert prediction.grad.dtype == torch.bfloat16


def test_bfloat16_products_are_those_of_rounded_factors() -> None:
    """The loss is that of rounded tokens; a gradient's weights are rounded, to 8 bits, as well."""
    prediction, target = pool(23)
    loss, _ = infonce(prediction, target, rows=6, precision="bfloat16")
    rounded = [x.detach().bfloat16().double().requires_grad_() for x in (prediction, target)]
    expected = whole_matrix(*rounded)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    found = torch.autograd.grad(loss, [prediction, target])
    for mine, theirs in zip(found, torch.autograd.grad(expected, rounded), strict=True):
        assert 0 < (mine - theirs).norm() / theirs.norm() < 2**-8


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_sums_and_gradients_are_float32_at_any_precision(precision: Precision) -> None:
    prediction, target = (x.detach().float() for x in pool(40))
    loss, _ = infonce(prediction.requires_grad_(), target, rows=7, precision=precision)
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert loss.dtype == gradient.dtype == torch.float32
    expected = whole_matrix(prediction, target)
    is_rounded = precision == "bfloat16"  # TF32 exists on GPUs alone
    torch.testing.assert_close(loss, expected, rtol=3e-3 if is_rounded else 1e-6, atol=1e-6)
    assert bool(loss == infonce(prediction, target, rows=7)[0]) is not is_rounded


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "bound"), [("tf32", 4e-3), ("bfloat16", 4e-2)])
def test_a_gpus_products_are_as_precise_as_the_setting_says(
    precision: Precision, bound: float
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    generator = torch_generator(1, "gpu")
    draws = [torch.randn(512, 64, generator=generator).cuda() for _ in range(2)]
    was = torch.backends.cuda.matmul.allow_tf32
    found = {}
    for name in ("float32", precision):
        prediction = (draws[0] + draws[1]).requires_grad_()
        loss, _ = infonce(prediction, draws[1], rows=100, precision=name)
        found[name] = torch.autograd.grad(loss, prediction)[0]
    apart = (found[precision] - found["float32"]).norm() / found["float32"].norm()
    assert 0 < apart < bound
    assert torch.backends.cuda.matmul.allow_tf32 == was


def test_uncounted_matches_leave_the_loss() -> None:
    prediction, target = pool(9)
    loss, top1 = infonce(prediction, target, rows=4, is_counted=False)
    assert top1 is None and loss == infonce(prediction, target, rows=4)[0]


def test_other_similarity_is_refused() -> None:
    prediction, target = pool(5)
    with refused("invalid-setting", "dot", "cosine", "euclid"):
        infonce(prediction, target, rows=2, similarity="euclid")
