"""Random streams of NumPy, derived by name from `run.seed` (torch's are in `core.seeds`)."""

import hashlib

import numpy as np


def derived_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed that depends only on `seed` and `names`, on every machine."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return the NumPy generator of the stream `names`, independent of every other stream."""
    return np.random.default_rng(derived_seed(seed, *names))
