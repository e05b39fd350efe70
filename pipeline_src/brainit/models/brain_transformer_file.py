"""The file of a BIT: its weights, its V2C map, and of which subjects and settings it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from brainit.core.artifacts import read_artifact, write_artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import BitSettings
from brainit.models.brain_transformer import BrainInteractionTransformer
from brainit.models.subject_voxels import subject_slices, voxel_counts
from brainit.models.token_calibration import TokenCalibration, take_calibration

KINDS = ("lowlevel", "semantic")


@dataclass(frozen=True)
class LoadedBit:
    """A BIT read from a file: each subject's voxels in it, its kind and all attributes."""

    model: BrainInteractionTransformer
    subjects: dict[str, slice]
    kind: str
    attributes: dict[str, Any]
    calibration: TokenCalibration | None = None


def save_bit(
    path: Path,
    model: BrainInteractionTransformer,
    *,
    subjects: Mapping[str, int],
    kind: str,
    settings: BitSettings,
    seed: int,
    calibration: TokenCalibration | None = None,
) -> None:
    """Write a BIT of `kind` "lowlevel" or "semantic", whole or not at all.

    `subjects` gives the voxels of each subject in the order of the model's. Raises `PipelineError`
    where they do not add up to the model's voxels, or the model is not of `settings`.
    """
    n_voxels = len(model.voxel_cluster)
    if sum(subjects.values()) != n_voxels or kind not in KINDS:
        raise PipelineError(
            path,
            f"a BIT of kind {KINDS} with {n_voxels} voxels",
            f"{kind}, {dict(subjects)}",
            "give the subjects of its V2C map",
        )
    found = {"width": model.width, "n_heads": model.n_heads, "n_blocks": model.n_blocks}
    attributes = {
        "subjects": list(subjects),
        "n_voxels": dict(subjects),
        "settings": found,
        "kind": kind,
        "seed": seed,
        "n_queries": model.n_queries,
        "out_width": model.out_width,
    }
    require_same_settings(path, attributes, settings, kind)
    write_artifact(path, "bit", stored_tensors(model, calibration), attributes)


def stored_tensors(
    model: nn.Module, calibration: TokenCalibration | None
) -> dict[str, NDArray[Any]]:
    """Return what a decoder's file holds: its state, and its calibration where there is one."""
    state = {**model.state_dict(), **(calibration.tensors() if calibration else {})}
    return {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}


def load_bit(path: Path) -> LoadedBit:
    """Read a BIT, on the CPU.

    Raises `PipelineError` for a missing, truncated or foreign file, and where weights and
    attributes do not fit each other.
    """
    artifact = read_artifact(path, "bit")
    attributes = artifact.attributes
    subjects = voxel_counts(path, attributes)
    state = {name: torch.from_numpy(array) for name, array in artifact.tensors.items()}
    calibration = take_calibration(state)
    try:
        model = BrainInteractionTransformer(
            voxel_cluster=state["voxel_cluster"],
            n_clusters=len(state["tokenizer.cluster_embedding"]),
            n_queries=attributes["n_queries"],
            out_width=attributes["out_width"],
            **attributes["settings"],
        )
        model.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError) as error:
        raise _misfit(path, "weights that fit its settings", str(error)) from error
    if sum(subjects.values()) != len(model.voxel_cluster):
        raise _misfit(path, f"{len(model.voxel_cluster)} voxels", f"{subjects}")
    return LoadedBit(model, subject_slices(subjects), attributes["kind"], attributes, calibration)


def require_same_settings(
    path: Path, attributes: Mapping[str, Any], settings: BitSettings, kind: str
) -> None:
    """Check that a BIT is of `kind` and of the sizes in `settings`.

    `attributes` are those of the file at `path`. Raises `PipelineError` otherwise.
    """
    expected = {key: getattr(settings, key) for key in ("width", "n_heads", "n_blocks")}
    found = attributes["settings"]
    if attributes["kind"] != kind or any(found.get(key) != expected[key] for key in expected):
        raise PipelineError(
            path,
            f"a {kind} BIT of {expected}",
            f"a checkpoint of other settings: {attributes['kind']}, {found}",
            "delete it and rerun its training, or put the settings back",
        )


def _misfit(path: Path, expected: str, found: str) -> PipelineError:
    return PipelineError(path, expected, found, "delete it and rerun the step that makes it")
