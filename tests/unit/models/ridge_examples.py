"""Made-up responses and targets for the tests of ridge, and its golden values."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainit.core.streams import numpy_generator

Array = NDArray[Any]


def made_up(n_rows: int, n_voxels: int, n_outputs: int = 7) -> tuple[Array, Array, Array]:
    """Return training responses, their targets, and new responses; voxel 3 is constant."""
    generator = numpy_generator(5, "ridge", n_rows, n_voxels)
    betas = generator.standard_normal((n_rows + 9, n_voxels)) * generator.uniform(0.5, 3, n_voxels)
    betas[:, 3] = 0.5
    targets = betas[:n_rows] @ generator.standard_normal((n_voxels, n_outputs)) + 4.0
    noisy = targets + generator.standard_normal(targets.shape)
    return betas[:n_rows], noisy, betas[n_rows:]


def read_golden(folder: Path) -> tuple[dict[str, Array], Array]:
    """Return the golden values and their training targets (rows, outputs)."""
    with np.load(folder / "ridge_small.npz") as file:
        golden = dict(file)
    return golden, flat(golden["train_tokens"])


def flat(tokens: Array) -> Array:
    return tokens.reshape(len(tokens), -1)
