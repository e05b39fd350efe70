"""Read the ground truth of a simulation: only scores, checks, figures and an oracle use it.

It is read at the end of the way, when the images are made: `evaluate` reads the scenes, the
encoder's scores read areas and ceilings, and `check_results` and `make_figures` read both. The
oracle is `draw_places`, which answers with the true places; no decoder reads the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainit.core.artifacts import read_artifact
from brainit.core.errors import PipelineError
from brainit.core.reading import read_json
from brainit.data.voxels import read_voxels
from brainit.simulation.scenes import Scene, scene_from_dict

_FIX = "delete the folder of the simulation and rerun simulate_nsd"


@dataclass(frozen=True)
class VoxelTruth:
    """The truth of each voxel of one subject, in the order of its betas.

    `area` indexes `areas`; `prf` is (x, y, sigma) of the receptive field, NaN for voxels without
    one; `noise_ceiling` is in percent of variance for 3 repeats.
    """

    subject: str
    areas: tuple[str, ...]
    area: NDArray[np.int64]
    prf: NDArray[np.float64]
    noise_ceiling: NDArray[np.float64]


def read_voxel_truth(folder: Path, subject: str, voxels: Path) -> VoxelTruth:
    """Read the truth of a subject's voxels, matched to its voxel table by hemisphere and vertex.

    Raises `PipelineError` if a voxel has no truth, and for another file.
    """
    path = folder / f"{subject}.safetensors"
    truth = read_artifact(path, "truth")
    table = read_voxels(voxels)
    true_keys = zip(truth["hemisphere"].tolist(), truth["vertex"].tolist(), strict=True)
    row_of = {key: row for row, key in enumerate(true_keys)}
    keys = list(zip(table["hemisphere"].tolist(), table["vertex"].tolist(), strict=True))
    unknown = [key for key in keys if key not in row_of]
    if unknown:
        found = f"{len(unknown)} voxels without truth, the first (hemisphere, vertex) {unknown[0]}"
        expected = f"the {len(keys)} voxels of {voxels}"
        raise PipelineError(path, expected, found, _FIX, code="inconsistent-inputs")
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
    """Read the card with the simulation's difficulty; raises `PipelineError` for another file."""
    card = _read_json(path)
    if not isinstance(card, dict) or not {"silent_share", "subjects"} <= set(card):
        keys = sorted(card) if isinstance(card, dict) else type(card).__name__
        expected = "a simulation's card with silent_share and subjects"
        raise PipelineError(path, expected, f"{keys}", _FIX, code="wrong-kind")
    return card


def read_scenes(folder: Path) -> dict[int, Scene]:
    """Read the scene of each stimulus, by nsd_id; raises `PipelineError` for another file."""
    path = folder / "scenes.json"
    content = _read_json(path)
    entries = content.items() if isinstance(content, dict) else enumerate(content)
    try:
        return {int(nsd_id): scene_from_dict(entry) for nsd_id, entry in entries}
    except (KeyError, TypeError, ValueError) as error:
        expected, found = "a scene for each nsd_id", repr(error)
        raise PipelineError(path, expected, found, _FIX, code="wrong-kind") from error


def scenes_of(folder: Path, nsd_id: Sequence[int]) -> list[Scene]:
    """Read the scenes of the images `nsd_id`; raises `PipelineError` if one has none."""
    scenes = read_scenes(folder)
    if unknown := [number for number in nsd_id if number not in scenes]:
        expected = f"a scene for each of {len(nsd_id)} images"
        found = f"none for {len(unknown)} of them, the first nsd_id {unknown[0]}"
        fix = "give --truth only for images of the simulation that it belongs to"
        where = folder / "scenes.json"
        raise PipelineError(where, expected, found, fix, code="inconsistent-inputs")
    return [scenes[number] for number in nsd_id]


def _read_json(path: Path) -> Any:
    return read_json(path, "a JSON file of the simulation", _FIX)
