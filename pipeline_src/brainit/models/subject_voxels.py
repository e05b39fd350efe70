"""Subjects of a model's file, in order, and the number of voxels of each."""

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from brainit.core.errors import PipelineError


def voxel_counts(path: Path, attributes: Mapping[str, Any]) -> dict[str, int]:
    """Return voxels per subject, in order, from the attributes of the file at `path`.

    Files hold them by name, or as a list in the subjects' order. Raises `PipelineError` where a
    subject has none.
    """
    subjects, counts = attributes["subjects"], attributes["n_voxels"]
    values = [counts.get(name) for name in subjects] if isinstance(counts, dict) else counts
    if not isinstance(values, list) or len(values) != len(subjects) or None in values:
        raise PipelineError(
            path,
            "a voxel count for each subject",
            f"{subjects}: {counts}",
            "delete it and rerun the step that makes it",
            code="missing-data",
        )
    return dict(zip(subjects, values, strict=True))


def subject_slices(subjects: Mapping[str, int]) -> dict[str, slice]:
    """Return each subject's slice of voxels, the subjects one after the other."""
    stops = accumulate(subjects.values())
    return {
        name: slice(stop - count, stop)
        for (name, count), stop in zip(subjects.items(), stops, strict=True)
    }


def require_same_subjects(
    path: Path, attributes: Mapping[str, Any], expected: Mapping[str, int]
) -> None:
    """Check that a V2C map or BIT has the subjects `expected`, in order, with their voxel counts.

    `attributes` are those of the file at `path`. Raises `PipelineError` otherwise.
    """
    n_voxels = voxel_counts(path, attributes)
    if list(n_voxels.items()) != list(expected.items()):
        raise PipelineError(
            path,
            f"a file of the subjects and voxels {dict(expected)}",
            f"subjects and voxels {n_voxels}",
            "rerun cluster_voxels (or assign_voxels) and the later steps with these betas",
            code="inconsistent-inputs",
        )
