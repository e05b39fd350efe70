"""One training done by several processes, one a GPU: torchrun starts them, DDP joins gradients.

The forward passes of an optimizer step are dealt out. All processes draw the same random numbers,
so examples, noise and effective batch are those of one process; losses differ by the rounding of
sums. What an epoch leaves over is done by every process: after each step and each epoch all have
the same state, and the checkpoint of the first is everybody's.
"""

import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from brainit.core.errors import PipelineError

_PATIENCE = timedelta(hours=1)
"""How long processes wait for one that writes a checkpoint."""


@contextmanager
def joined_processes(expected: int, device: torch.device) -> Iterator[None]:
    """Let the processes that torchrun has started know each other within the block.

    Raises `PipelineError` where there are not as many as expected, or more than GPUs on a machine.
    """
    launched = distributed.is_torchelastic_launched()
    found = int(os.environ["WORLD_SIZE"]) if launched else 1
    if found != expected:
        fix = "start the step by `python -m torch.distributed.run`, as the workflow's command does"
        raise PipelineError("joint.processes", f"{expected} processes", str(found), fix)
    if found == 1:
        yield
        return
    if device.type == "cuda":
        own, n_gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if own >= n_gpus:
            fix = "ask for more GPUs or set joint.processes lower"
            raise PipelineError("joint.processes", f"GPU {own}", f"{n_gpus} GPUs", fix)
        torch.cuda.set_device(own)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=_PATIENCE)
    yield
    distributed.destroy_process_group()


def n_processes() -> int:
    """Return how many processes do this training."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Return whether this process is the one that writes."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def join_gradients(network: nn.Module) -> nn.Module:
    """Return the network such that backward averages its gradients over the processes."""
    if n_processes() == 1:
        return network
    return DistributedDataParallel(
        network,
        forward_sync_buffers=False,
        find_unused_parameters=True,
        gradient_as_bucket_view=True,
    )


def weight_of(number: int, n_batches: int, accumulation: int) -> int:
    """Return the factor of this process's loss of a batch (from 0, of an epoch's `n_batches`).

    0: another process does the batch. Else the mean over the processes, which backward takes, is
    the batch's loss: their number where this one does it alone, 1 where all do.
    """
    size = n_processes()
    if size == 1 or _is_left_over(number, n_batches, accumulation):
        return 1
    return size if number % size == distributed.get_rank() else 0


def gradients_of(
    network: nn.Module, number: int, n_batches: int, accumulation: int
) -> AbstractContextManager[None]:
    """Return the context of a batch's forward and backward: they join at a step's last batch."""
    is_last = number % accumulation >= accumulation - n_processes()
    if isinstance(network, DistributedDataParallel) and (
        not is_last or _is_left_over(number, n_batches, accumulation)
    ):
        return network.no_sync()
    return nullcontext()


def _is_left_over(number: int, n_batches: int, accumulation: int) -> bool:
    return number >= n_batches - n_batches % accumulation


def means(values: Sequence[float]) -> list[float]:
    """Return the means of the values over the processes."""
    if n_processes() == 1:
        return list(values)
    shared = torch.tensor(values, dtype=torch.float64)
    distributed.all_reduce(shared)
    return (shared / n_processes()).tolist()


def heard_by_any(cause: str | None, causes: Sequence[str]) -> str | None:
    """Return a cause, of `causes`, for which any process must stop, the same for all, or None."""
    if n_processes() == 1:
        return cause
    number = torch.tensor(causes.index(cause) + 1 if cause else 0)
    distributed.all_reduce(number, distributed.ReduceOp.MAX)
    return causes[int(number) - 1] if number else None


def wait_for_all() -> None:
    """Return once every process is here."""
    means([0.0])


def require_same(where: Path, content: str) -> None:
    """Raise `PipelineError` unless every process has found the same content in a file or folder."""
    if n_processes() == 1:
        return
    number = zlib.crc32(content.encode())
    extremes = torch.tensor([number, -number])
    distributed.all_reduce(extremes, distributed.ReduceOp.MAX)
    if extremes[0] != -extremes[1]:
        fix = "put the store on a file system that all nodes share, and run again"
        raise PipelineError(where, "the same for every process", "different contents", fix)
