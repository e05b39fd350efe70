"""Streaming InfoNCE against the whole logit matrix at 8,192 tokens x 512, one thread.

Forward and backward to both sides, in processor seconds (on one thread a busy neighbour does not
count), with the row block of the settings. Memory is the peak of a process each, without what the
imports alone take; loss and gradients must agree. Then what other precisions of the products
change: bfloat16, and a GPU's TF32 by tokens that are rounded to its 10 bits of mantissa.
"""

import sys
import time

import torch
from process_memory import peak_mb, printed_by
from torch import Tensor

from brainit.core.seeds import torch_generator
from brainit.training.losses import Precision, infonce

N_TOKENS, WIDTH, ROWS = 8192, 512, 2048
N_ROUNDS, SPEED_BAR, MEMORY_BAR, TOLERANCE = 5, 1.0, 3.0, 1e-5
PRECISION_BARS: dict[Precision, float] = {"tf32": 5e-3, "bfloat16": 5e-2}


def whole(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the loss from the whole matrix, as the released code does."""
    logits = prediction @ target.T
    own = torch.arange(len(logits))
    entropy = torch.nn.functional.cross_entropy
    return 0.5 * (entropy(logits, own) + entropy(logits.T, own))


def tokens() -> tuple[Tensor, Tensor]:
    """Draw predictions near their targets."""
    generator = torch_generator(0, "bench_infonce")
    target = torch.randn(N_TOKENS, WIDTH, generator=generator)
    noise = torch.randn(N_TOKENS, WIDTH, generator=generator)
    return (0.02 * (target + noise)).requires_grad_(), target.requires_grad_()


def run(kind: str, prediction: Tensor, target: Tensor) -> tuple[float, Tensor, list[Tensor]]:
    """Return processor seconds of forward and backward, the loss and both gradients."""
    started = time.process_time()
    if kind == "whole":
        loss = whole(prediction, target)
    else:
        loss, _ = infonce(prediction, target, rows=ROWS)
    gradients = torch.autograd.grad(loss, [prediction, target])
    return time.process_time() - started, loss.detach(), list(gradients)


def in_tf32(values: Tensor) -> Tensor:
    """Round to 10 bits of mantissa, half up."""
    bits = values.detach().contiguous().view(torch.int32)
    return ((bits + (1 << 12)) & ~((1 << 13) - 1)).view(torch.float32).requires_grad_()


def effect(prediction: Tensor, target: Tensor, precision: Precision) -> tuple[float, float]:
    """Return by how much loss and gradient of the prediction change, relative."""
    wanted, plain = run("streaming", prediction, target)[1:]
    is_tf32 = precision == "tf32"
    factors = [in_tf32(x) for x in (prediction, target)] if is_tf32 else [prediction, target]
    loss, _ = infonce(factors[0], factors[1], rows=ROWS, precision=precision)
    (gradient,) = torch.autograd.grad(loss, factors[0])
    change = (gradient - plain[0]).norm() / plain[0].norm()
    return float((loss.detach() - wanted).abs() / wanted), float(change)


def main() -> int:
    """Print both ratios; return 1 where one is under its bar or results differ."""
    torch.set_num_threads(1)
    if sys.argv[1:]:
        before = peak_mb()
        run(sys.argv[1], *tokens())
        print(peak_mb() - before)  # noqa: T201
        return 0
    prediction, target = tokens()
    whole_s, streaming_s = [], []
    for _ in range(N_ROUNDS):
        seconds, expected, plain = run("whole", prediction, target)
        whole_s.append(seconds)
        seconds, loss, ours = run("streaming", prediction, target)
        streaming_s.append(seconds)
    apart = [float((loss - expected).abs() / expected)]
    apart += [float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, plain, strict=True)]
    speed = min(whole_s) / min(streaming_s)
    detail = f"{min(whole_s):.2f} s, {min(streaming_s):.2f} s; {max(apart):.1e} apart"
    print(f"InfoNCE speed: ratio {speed:.2f} (bar {SPEED_BAR}) [{detail}]")  # noqa: T201
    whole_mb, streaming_mb = (printed_by(__file__, kind)[-1] for kind in ("whole", "streaming"))
    memory = whole_mb / streaming_mb
    detail = f"{whole_mb:.0f} MB, {streaming_mb:.0f} MB"
    print(f"InfoNCE memory: ratio {memory:.1f} (bar {MEMORY_BAR}) [{detail}]")  # noqa: T201
    is_rough = False
    for precision, bar in PRECISION_BARS.items():
        of_loss, of_gradient = effect(prediction, target, precision)
        values = f"loss {of_loss:.1e}, gradient {of_gradient:.1e} apart"
        print(f"InfoNCE in {precision}: {values} (bar {bar:g})")  # noqa: T201
        is_rough |= max(of_loss, of_gradient) > bar
    is_slow = speed < SPEED_BAR or memory < MEMORY_BAR
    return int(is_slow or is_rough or max(apart) > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
