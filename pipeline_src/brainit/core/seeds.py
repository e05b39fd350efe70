"""One seed in the settings; every random stream is derived from it by name."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derived_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed that depends on `seed` and `names` alone, on every machine."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return the NumPy generator of the stream `names`, independent of every other stream."""
    return np.random.default_rng(derived_seed(seed, *names))


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
    """Fix the thread count and deterministic algorithms: a rerun gives the same bytes."""
    torch.set_num_threads(n_threads)
    torch.use_deterministic_algorithms(True, warn_only=False)
