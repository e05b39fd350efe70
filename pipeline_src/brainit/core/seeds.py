"""Random streams of torch, derived by name as in `core.streams`, and deterministic torch.

Separate from `core.streams` because steps of data and tables start without torch.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from brainit.core.streams import derived_seed


def torch_generator(seed: int, *names: str | int, device: str = "cpu") -> torch.Generator:
    """Return the torch generator of the stream `names` on `device`."""
    return torch.Generator(device=device).manual_seed(derived_seed(seed, *names))


@contextmanager
def seeded_init(seed: int, *names: str | int) -> Iterator[None]:
    """Seed torch's global generator by `names` within the block, then restore its state.

    For the initialisers of `torch.nn` and third-party constructors, which use that generator.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, *names))
        yield


def use_threads(n_threads: int) -> None:
    """Set the threads of torch and BLAS, and deterministic algorithms: a rerun gives equal bytes.

    On a GPU, deterministic products need cuBLAS's workspace to be configured. New memory is not
    filled, which would take 3 % of a training's time: every layer here writes before it reads.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(n_threads)
    threadpool_limits(n_threads)
    # `use_deterministic_algorithms` would also import torch's compiler, slow to load and unused.
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
