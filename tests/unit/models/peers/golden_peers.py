"""Read the golden values of the peers."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}


def read(folder: Path, name: str) -> dict[str, Tensor]:
    """Return the arrays of a file that are numbers, float16 as float32."""
    with np.load(folder / f"peers_{name}.npz") as file:
        arrays = {key: file[key] for key in file.files if file[key].dtype.kind != "U"}
    tensors = {key: torch.from_numpy(np.asarray(array)) for key, array in arrays.items()}
    return {k: v.float() if v.dtype == torch.float16 else v for k, v in tensors.items()}


def weights(golden: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the weights below a prefix, without it."""
    start = f"weights/{prefix}"
    return {k.removeprefix(start): v for k, v in golden.items() if k.startswith(start)}
