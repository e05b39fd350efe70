"""A subject of another data set written as a folder in the lab layout (`data.lab.layout`)."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path
from brainit.data.lab import layout as layout


def write_subject(
    folder: Path,
    betas: NDArray[np.floating[Any]],
    trials: pd.DataFrame,
    images: Mapping[str, Path] | NDArray[np.uint8],
    voxels: pd.DataFrame | None = None,
) -> None:
    """Write the folder, whole or not at all; it must not exist yet.

    `images` are files to copy, by the name the trials use, or the rows of `images.npy`. Voxels that
    are not finite in some trial are left out of betas and voxel table. Raises `PipelineError` where
    the folder exists or no voxel is left.
    """
    if folder.exists():
        raise PipelineError(
            folder,
            "no such folder yet",
            "one",
            "remove it or name another",
            code="invalid-argument",
        )
    is_kept = np.isfinite(betas).all(axis=0)
    if not is_kept.any():
        raise PipelineError(
            folder,
            "voxels finite in every trial",
            "none",
            "fetch the data again",
            code="bad-values",
        )
    with atomic_path(folder) as partial:
        partial.mkdir(parents=True)
        np.save(partial / layout.BETAS, betas[:, is_kept].astype(np.float32))
        trials.to_csv(partial / layout.TRIALS, index=False)
        if voxels is not None:
            voxels[is_kept].to_csv(partial / layout.VOXELS, index=False)
        if isinstance(images, np.ndarray):
            np.save(partial / layout.IMAGE_ARRAY, images)
        else:
            (partial / layout.IMAGE_FOLDER).mkdir()
            for name, path in images.items():
                shutil.copyfile(path, partial / layout.IMAGE_FOLDER / name)


def found_images(root: Path, names: list[str], fix: str) -> dict[str, Path]:
    """Return the file of each name anywhere below `root`, by stem where the suffix differs.

    Keys are the names of the files found. Raises `PipelineError` that counts the missing ones.
    """
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    by_stem = {path.stem: path for path in files} | {path.name: path for path in files}
    missing = [name for name in names if name not in by_stem and Path(name).stem not in by_stem]
    if missing:
        found = f"no {missing[0]} and {len(missing) - 1} more"
        raise PipelineError(root, f"{len(names)} images", found, fix, code="missing-file")
    return {name: by_stem.get(name, by_stem.get(Path(name).stem)) for name in names}  # type: ignore[misc]
