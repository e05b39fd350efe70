"""One training by several processes, one per GPU: torchrun starts them, DDP averages gradients.

The batches of an optimiser step are dealt out. All processes draw the same random numbers, so
examples, noise and effective batch are those of one process; losses differ by the rounding of sums.
Every process does the batches left over at the end of an epoch. After each step and each epoch all
processes have the same state, so the checkpoint of the first serves all.
"""

import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from brainit.core.errors import PipelineError

_TIMEOUT = timedelta(hours=1)
"""How long processes wait for one that writes a checkpoint."""


@contextmanager
def joined_processes(expected: int, device: torch.device) -> Iterator[None]:
    """Connect the processes that torchrun started, within the block.

    Raises `PipelineError` where their number differs from `expected` or exceeds a machine's GPUs.
    """
    launched = distributed.is_torchelastic_launched()
    n_started = int(os.environ["WORLD_SIZE"]) if launched else 1
    if n_started != expected:
        raise PipelineError(
            "joint.processes",
            f"{expected} processes",
            str(n_started),
            "start the step by `python -m torch.distributed.run`, as the workflow's command does",
            code="inconsistent-inputs",
        )
    if n_started == 1:
        yield
        return
    if device.type == "cuda":
        local_rank, n_gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local_rank >= n_gpus:
            raise PipelineError(
                "joint.processes",
                f"GPU {local_rank}",
                f"{n_gpus} GPUs",
                f"request {local_rank + 1} GPUs per machine, or set joint.processes to {n_gpus}",
                code="no-device",
            )
        torch.cuda.set_device(local_rank)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=_TIMEOUT)
    yield
    distributed.destroy_process_group()


def n_processes() -> int:
    """Return the number of processes of this training."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Return True if this process writes the files (rank 0)."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def average_gradients(network: nn.Module) -> nn.Module:
    """Return the network wrapped so that backward averages its gradients over the processes."""
    if n_processes() == 1:
        return network
    return DistributedDataParallel(
        network,
        forward_sync_buffers=False,
        find_unused_parameters=True,
        gradient_as_bucket_view=True,
    )


def loss_weight(number: int, n_batches: int, accumulation: int) -> int:
    """Return the factor of this process's loss of a batch (from 0, of an epoch's `n_batches`).

    0: another process does the batch. Otherwise the mean over the processes, which backward takes,
    is the batch's loss: their number where this process does it alone, 1 where all do.
    """
    size = n_processes()
    if size == 1 or _is_left_over(number, n_batches, accumulation):
        return 1
    return size if number % size == distributed.get_rank() else 0


def gradient_sync(
    network: nn.Module, number: int, n_batches: int, accumulation: int
) -> AbstractContextManager[None]:
    """Return the context of a batch's forward and backward pass.

    Gradients are averaged over the processes at the last batch of an optimiser step only.
    """
    is_last = number % accumulation >= accumulation - n_processes()
    if isinstance(network, DistributedDataParallel) and (
        not is_last or _is_left_over(number, n_batches, accumulation)
    ):
        return network.no_sync()
    return nullcontext()


def _is_left_over(number: int, n_batches: int, accumulation: int) -> bool:
    return number >= n_batches - n_batches % accumulation


def mean_losses(losses: Sequence[Tensor]) -> list[Tensor]:
    """Return the means of scalar losses over the processes, on their device."""
    if n_processes() == 1:
        return list(losses)
    shared = torch.stack([loss.double() for loss in losses])
    distributed.all_reduce(shared)
    return list((shared / n_processes()).unbind())


def any_rank_stop_reason(reason: str | None, reasons: Sequence[str]) -> str | None:
    """Return one of `reasons` for which any process must stop, the same for all, or None."""
    if n_processes() == 1:
        return reason
    number = torch.tensor(reasons.index(reason) + 1 if reason else 0)
    distributed.all_reduce(number, distributed.ReduceOp.MAX)
    return reasons[int(number) - 1] if number else None


def wait_for_all() -> None:
    """Return once every process has called this."""
    if n_processes() > 1:
        distributed.all_reduce(torch.zeros(1))


def require_same(where: Path, content: str) -> None:
    """Raise `PipelineError` unless every process found the same content in a file or folder."""
    if n_processes() == 1:
        return
    number = zlib.crc32(content.encode())
    extremes = torch.tensor([number, -number])
    distributed.all_reduce(extremes, distributed.ReduceOp.MAX)
    if extremes[0] != -extremes[1]:
        raise PipelineError(
            where,
            "the same for every process",
            "different contents",
            "set paths.store to a file system that all nodes share, and run again",
            code="inconsistent-inputs",
        )
