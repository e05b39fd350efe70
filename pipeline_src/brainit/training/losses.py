"""InfoNCE, the loss of stage 1 on VGG tokens (sections 3.2, D.2).

It pools all (image, position) tokens of one VGG layer in a batch: each prediction must find its own
target among all targets, and each target its prediction. As in the released code the logits are raw
dot products without temperature; cosine over a temperature is the ablation. At the paper's size a
pool has 32,768 tokens, so the logits are computed in blocks of rows, and again in the backward
pass.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from brainit.core.errors import PipelineError
from brainit.core.settings import LowlevelSettings

Precision = Literal["float32", "tf32", "bfloat16"]
"""Precision of the products of InfoNCE; sums and softmax are always float32."""


@contextmanager
def _products(device: torch.device, precision: Precision) -> Iterator[None]:
    """Let a GPU compute the products of the block in TF32 where `precision` asks, else never."""
    if device.type != "cuda":
        yield
        return
    was = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = was


def _factor(values: Tensor, precision: Precision) -> Tensor:
    """Return a matrix as a factor of `_multiply`.

    A CPU has no TF32, and multiplies rounded bfloat16 numbers in the matrix's own precision: the
    same products as a GPU's, which are exact in float32.
    """
    if precision != "bfloat16":
        return values
    rounded = values.to(torch.bfloat16)
    return rounded if values.device.type == "cuda" else rounded.to(values.dtype)


def _require_wide_sums(device: torch.device) -> None:
    """Raise `PipelineError` where a GPU's bfloat16 products cannot be summed in float32."""
    if device.type == "cuda" and not hasattr(torch.ops.aten.mm, "dtype_out"):
        raise PipelineError(
            "settings logit_precision",
            "torch 2.8 or later for bfloat16 on a GPU",
            f"torch {torch.__version__}",
            "set bit_lowlevel.logit_precision to tf32",
            code="not-installed",
        )


def _multiply(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    """Write the product of two factors to `out`, summed in the precision of `out`."""
    if left.dtype == out.dtype:
        return torch.mm(left, right, out=out)
    return torch.mm(left, right, out_dtype=out.dtype, out=out)


class _StreamingInfoNce(torch.autograd.Function):
    """Symmetric cross-entropy of `prediction @ target.T` against the diagonal, by row block."""

    @staticmethod
    def forward(
        ctx: Any,
        prediction: Tensor,
        target: Tensor,
        rows: int,
        precision: Precision,
        is_counted: bool,
    ) -> tuple[Tensor, Tensor | None]:
        n_tokens = len(prediction)
        left, right = _factor(prediction, precision), _factor(target, precision)
        row_lse = prediction.new_empty(n_tokens)
        diagonal = prediction.new_empty(n_tokens)
        column_max = prediction.new_full((n_tokens,), -torch.inf)
        column_sum, n_highest = prediction.new_zeros(2, n_tokens)
        held = prediction.new_empty(2, min(rows, n_tokens), n_tokens)
        for start in range(0, n_tokens, rows):
            block = slice(start, min(start + rows, n_tokens))
            logits, work = held[:, : block.stop - start]
            with _products(prediction.device, precision):
                _multiply(left[block], right.T, logits)
            diagonal[block] = logits.diagonal(start)
            highest = torch.maximum(column_max, logits.amax(0))
            if is_counted:
                n_highest *= column_max == highest
                n_highest += torch.eq(logits, highest, out=work).sum(0)
            column_sum *= torch.exp(column_max - highest)
            column_sum += torch.sub(logits, highest, out=work).exp_().sum(0)
            column_max = highest
            row_max = logits.amax(1)
            row_sum = torch.sub(logits, row_max[:, None], out=work).exp_().sum(1)
            row_lse[block] = row_sum.log_() + row_max
        column_lse = column_sum.log_() + column_max
        ctx.rows, ctx.precision = rows, precision
        whole = held if rows >= n_tokens else None  # one block: kept for the backward pass
        ctx.save_for_backward(left, right, row_lse, column_lse, whole)
        top1 = None
        if is_counted:
            is_found = (diagonal == column_max) & (n_highest == 1)  # a tie is no match
            top1 = is_found.to(prediction.dtype).mean()
            ctx.mark_non_differentiable(top1)
        return (0.5 * (row_lse + column_lse) - diagonal).mean(), top1

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
        left, right, row_lse, column_lse, whole = ctx.saved_tensors
        n_tokens, precision = len(left), ctx.precision
        grad_prediction = row_lse.new_empty(left.shape)
        grad_target = row_lse.new_zeros(right.shape) if ctx.needs_input_grad[1] else None
        size = (2, min(ctx.rows, n_tokens), n_tokens)
        held = row_lse.new_empty(size) if whole is None else whole
        for start in range(0, n_tokens, ctx.rows):
            block = slice(start, min(start + ctx.rows, n_tokens))
            logits, by_column = held[:, : block.stop - start]
            with _products(left.device, precision):
                if whole is None:
                    _multiply(left[block], right.T, logits)
                torch.sub(logits, column_lse, out=by_column).exp_()
                weight = logits.sub_(row_lse[block, None]).exp_().add_(by_column)
                weight.diagonal(start).sub_(2.0)
                factor = _factor(weight, precision)
                _multiply(factor, right, grad_prediction[block])
                if grad_target is not None:
                    product = torch.empty_like(grad_target)
                    grad_target += _multiply(factor.T, left[block], product)
        scale = grad * (0.5 / n_tokens)
        if grad_target is not None:
            grad_target.mul_(scale)
        return grad_prediction.mul_(scale), grad_target, None, None, None


def infonce(
    prediction: Float[Tensor, "tokens width"],
    target: Float[Tensor, "tokens width"],
    *,
    rows: int,
    similarity: str = "dot",
    temperature: float = 0.07,
    precision: Precision = "float32",
    is_counted: bool = True,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""] | None]:
    """Return the InfoNCE loss in nats and the share of targets that find their prediction (D.2).

    Row i of `prediction` belongs to row i of `target`; all rows are one pool. The loss is the mean
    of the cross-entropies over rows and over columns; the share, as the released code counts it, is
    of columns whose one largest logit is their own prediction's (None unless `is_counted`). Memory
    holds `rows` rows of logits. `similarity` is "dot" (raw dot products, temperature unused) or
    "cosine" (divided by `temperature`). `precision` is that of the products: their factors are
    rounded to 10 (tf32, on a GPU only) or 7 bits (bfloat16) of mantissa. Sums and softmax are
    float32, also for inputs of half precision. Only the loss has a gradient. Raises `PipelineError`
    for another similarity, and for bfloat16 on a GPU with a torch that has no such products.
    """
    if similarity == "cosine":
        prediction = torch.nn.functional.normalize(prediction, dim=-1) / temperature
        target = torch.nn.functional.normalize(target, dim=-1)
    elif similarity != "dot":
        raise PipelineError(
            "settings similarity",
            "dot or cosine",
            similarity,
            "set bit_lowlevel.similarity to dot or cosine",
            code="invalid-setting",
        )
    if precision == "bfloat16":
        _require_wide_sums(prediction.device)
    dtype = torch.promote_types(prediction.dtype, torch.float32)
    with torch.autocast(prediction.device.type, enabled=False):
        loss, top1 = _StreamingInfoNce.apply(  # type: ignore[no-untyped-call]
            prediction.to(dtype), target.to(dtype), rows, precision, is_counted
        )
    return loss, top1


def token_loss(
    predicted: Float[Tensor, "tokens width"],
    true: Float[Tensor, "tokens width"],
    settings: LowlevelSettings,
) -> Float[Tensor, ""]:
    """Return the loss of one VGG layer's tokens that `settings.loss` names."""
    if settings.loss == "mse":
        return F.mse_loss(predicted.float(), true)
    loss, _ = infonce(
        predicted,
        true,
        rows=settings.logit_rows,
        similarity=settings.similarity,
        temperature=settings.temperature,
        precision=settings.logit_precision,
        is_counted=False,
    )
    return loss
