"""The ground truth of a simulation, read by checks, figures and the encoder's scores alone."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainit.core.artifacts import read_artifact
from brainit.core.errors import PipelineError
from brainit.data.voxels import read_voxels
from brainit.simulation.scenes import Scene, scene_from_dict

_FIX = "delete the simulation's folder and rerun simulate_nsd"


@dataclass(frozen=True)
class VoxelTruth:
    """What is true of each voxel of one subject, in the order of its betas.

    `area` indexes `areas`; `prf` is (x, y, sigma) of the receptive field, NaN where a voxel has
    none; `noise_ceiling` is in percent of variance for 3 repeats.
    """

    subject: str
    areas: tuple[str, ...]
    area: NDArray[np.int64]
    prf: NDArray[np.float64]
    noise_ceiling: NDArray[np.float64]


def read_voxel_truth(folder: Path, subject: str, voxels: Path) -> VoxelTruth:
    """Read the truth of a subject's voxels, matched to its voxel table by hemisphere and vertex.

    Raises `PipelineError` where a voxel has no truth or the file is not one.
    """
    path = folder / f"{subject}.safetensors"
    truth = read_artifact(path, "truth")
    table = read_voxels(voxels)
    true_keys = zip(truth["hemisphere"].tolist(), truth["vertex"].tolist(), strict=True)
    row_of = {key: row for row, key in enumerate(true_keys)}
    keys = list(zip(table["hemisphere"].tolist(), table["vertex"].tolist(), strict=True))
    unknown = [key for key in keys if key not in row_of]
    if unknown:
        found = f"{len(unknown)} voxels without truth, the first {unknown[0]}"
        raise PipelineError(path, f"the {len(keys)} voxels of {voxels}", found, _FIX)
    rows = np.array([row_of[key] for key in keys], dtype=np.int64)
    prf = np.stack([truth[name] for name in ("prf_x", "prf_y", "prf_sigma")], axis=1)
    return VoxelTruth(
        subject,
        tuple(str(name) for name in truth.attributes["areas"]),
        truth["area"][rows].astype(np.int64),
        prf[rows].astype(np.float64),
        truth["noise_ceiling_true"][rows].astype(np.float64),
    )


def read_card(path: Path) -> dict[str, Any]:
    """Read the card that states the simulation's difficulty; raises `PipelineError`."""
    card = _read_json(path)
    if not isinstance(card, dict) or not {"silent_share", "subjects"} <= set(card):
        expected = "a simulation's card with silent_share and subjects"
        raise PipelineError(path, expected, "another file", _FIX)
    return card


def read_scenes(folder: Path) -> dict[int, Scene]:
    """Read the scene behind each stimulus, by nsd_id; raises `PipelineError`."""
    path = folder / "scenes.json"
    found = _read_json(path)
    entries = found.items() if isinstance(found, dict) else enumerate(found)
    try:
        return {int(nsd_id): scene_from_dict(entry) for nsd_id, entry in entries}
    except (KeyError, TypeError, ValueError) as error:
        raise PipelineError(path, "a scene for each nsd_id", repr(error), _FIX) from error


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PipelineError(path, "a JSON file of the simulation", str(error), _FIX) from error
