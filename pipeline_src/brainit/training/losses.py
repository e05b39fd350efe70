"""InfoNCE, the loss of stage 1 on VGG tokens (sections 3.2, D.2).

It pools all (image, position) tokens of one VGG layer in a batch: each prediction must find its own
target among all targets, and each target its prediction. As in the released code the logits are raw
dot products without temperature; cosine over a temperature is the ablation. At the paper's size a
pool has 32,768 tokens, so the logits are computed in blocks of rows, and again in the backward
pass.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from brainit.core.errors import PipelineError
from brainit.core.settings import LowlevelSettings


class _StreamingInfoNce(torch.autograd.Function):
    """Symmetric cross-entropy of `prediction @ target.T` against the diagonal, by row block."""

    @staticmethod
    def forward(ctx: Any, prediction: Tensor, target: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        n_tokens = len(prediction)
        row_lse = prediction.new_empty(n_tokens)
        diagonal = prediction.new_empty(n_tokens)
        column_max = prediction.new_full((n_tokens,), -torch.inf)
        column_sum, n_highest = prediction.new_zeros(2, n_tokens)
        held = prediction.new_empty(2, min(rows, n_tokens), n_tokens)
        for start in range(0, n_tokens, rows):
            block = slice(start, min(start + rows, n_tokens))
            logits, work = held[:, : block.stop - start]
            torch.mm(prediction[block], target.T, out=logits)
            diagonal[block] = logits.diagonal(start)
            highest = torch.maximum(column_max, logits.amax(0))
            n_highest *= column_max == highest
            n_highest += torch.eq(logits, highest, out=work).sum(0)
            column_sum *= torch.exp(column_max - highest)
            column_sum += torch.sub(logits, highest, out=work).exp_().sum(0)
            column_max = highest
            row_max = logits.amax(1)
            row_sum = torch.sub(logits, row_max[:, None], out=work).exp_().sum(1)
            row_lse[block] = row_sum.log_() + row_max
        column_lse = column_sum.log_() + column_max
        ctx.rows = rows
        ctx.save_for_backward(prediction, target, row_lse, column_lse)
        is_found = (diagonal == column_max) & (n_highest == 1)  # a tie is no match
        top1 = is_found.to(prediction.dtype).mean()
        ctx.mark_non_differentiable(top1)
        return (0.5 * (row_lse + column_lse) - diagonal).mean(), top1

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, Tensor | None, None]:
        prediction, target, row_lse, column_lse = ctx.saved_tensors
        n_tokens = len(prediction)
        grad_prediction = torch.empty_like(prediction)
        grad_target = torch.zeros_like(target) if ctx.needs_input_grad[1] else None
        held = prediction.new_empty(2, min(ctx.rows, n_tokens), n_tokens)
        for start in range(0, n_tokens, ctx.rows):
            block = slice(start, min(start + ctx.rows, n_tokens))
            logits, by_column = held[:, : block.stop - start]
            torch.mm(prediction[block], target.T, out=logits)
            torch.sub(logits, column_lse, out=by_column).exp_()
            weight = logits.sub_(row_lse[block, None]).exp_().add_(by_column)
            weight.diagonal(start).sub_(2.0)
            torch.mm(weight, target, out=grad_prediction[block])
            if grad_target is not None:
                grad_target.addmm_(weight.T, prediction[block])
        scale = grad * (0.5 / n_tokens)
        if grad_target is not None:
            grad_target.mul_(scale)
        return grad_prediction.mul_(scale), grad_target, None


def infonce(
    prediction: Float[Tensor, "tokens width"],
    target: Float[Tensor, "tokens width"],
    *,
    rows: int,
    similarity: str = "dot",
    temperature: float = 0.07,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the InfoNCE loss in nats and the share of targets that find their prediction (D.2).

    Row i of `prediction` belongs to row i of `target`; all rows are one pool. The loss is the mean
    of the cross-entropies over rows and over columns; the share, as the released code counts it, is
    of columns whose one largest logit is their own prediction's. Memory holds `rows` rows of
    logits. `similarity` is "dot" (raw dot products, temperature unused) or "cosine" (divided by
    `temperature`). Half precision is cast to float32. Only the loss has a gradient. Raises
    `PipelineError` for another similarity.
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
    dtype = torch.promote_types(prediction.dtype, torch.float32)
    with torch.autocast(prediction.device.type, enabled=False):
        loss, top1 = _StreamingInfoNce.apply(  # type: ignore[no-untyped-call]
            prediction.to(dtype), target.to(dtype), rows
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
    )
    return loss
