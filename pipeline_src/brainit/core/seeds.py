"""Torch's random streams, derived by name like `core.streams`, and its threads."""

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
    """Run the block with torch's global generator seeded by `names`, then put its state back.

    For `torch.nn` initialisers and third-party constructors, which read the global generator.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, *names))
        yield


def use_threads(n_threads: int) -> None:
    """Fix torch's and BLAS's threads and deterministic algorithms: a rerun gives the same bytes.

    Builds of torch that need cuBLAS's workspace named for that would refuse each product on a GPU.
    Fresh memory is not filled first, which takes 3 % of a training: every layer here writes before
    it reads.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(n_threads)
    threadpool_limits(n_threads)
    # `use_deterministic_algorithms` would also import torch's compiler, slow to load and unused.
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
