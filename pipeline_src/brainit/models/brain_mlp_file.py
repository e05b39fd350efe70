"""The file of an MLP in the place of the low-level BIT (T5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from brainit.core.artifacts import read_artifact, write_artifact
from brainit.core.errors import PipelineError
from brainit.models.brain_mlp import BrainMlp
from brainit.models.brain_transformer_file import stored_tensors
from brainit.models.subject_voxels import subject_slices, voxel_counts
from brainit.models.token_calibration import TokenCalibration, take_calibration


@dataclass(frozen=True)
class LoadedMlp:
    """An MLP read from a file, and each subject's voxels in it."""

    model: BrainMlp
    subjects: dict[str, slice]
    calibration: TokenCalibration | None = None


def save_mlp(
    path: Path,
    model: BrainMlp,
    subjects: Mapping[str, int],
    seed: int,
    calibration: TokenCalibration | None = None,
) -> None:
    """Write an MLP over so many voxels of each of `subjects`, whole or not at all."""
    attributes = {
        "subjects": list(subjects),
        "n_voxels": dict(subjects),
        "seed": seed,
        "n_queries": model.n_queries,
        "out_width": model.out_width,
    }
    write_artifact(path, "mlp", stored_tensors(model, calibration), attributes)


def load_mlp(path: Path) -> LoadedMlp:
    """Read an MLP, on the CPU.

    Raises `PipelineError` for a missing, truncated or foreign file, and where weights and
    attributes do not fit each other.
    """
    artifact = read_artifact(path, "mlp")
    told = artifact.attributes
    state = {name: torch.from_numpy(array) for name, array in artifact.tensors.items()}
    calibration = take_calibration(state)
    n_voxels, hidden = state["voxel_weight"].shape
    counts = voxel_counts(path, told)
    model = BrainMlp(
        n_voxels=n_voxels, hidden=hidden, n_queries=told["n_queries"], out_width=told["out_width"]
    )
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        fix = "delete it and rerun train_bit_lowlevel"
        raise PipelineError(path, "weights that fit its attributes", str(error), fix) from error
    return LoadedMlp(model, subject_slices(counts), calibration)
