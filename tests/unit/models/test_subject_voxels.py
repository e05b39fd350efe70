"""Subjects and their voxels: read from either form, in order, and held to those given."""

from pathlib import Path

import pytest
from tests.refusals import refused

from brainit.models.subject_voxels import require_same_subjects, subject_slices, voxel_counts

SUBJECTS = {"subj05": 18, "subj01": 12}
NAMED = {"subjects": ["subj05", "subj01"], "n_voxels": {"subj01": 12, "subj05": 18}}
PATH = Path("clusters.safetensors")


def test_slices_follow_the_order_given() -> None:
    assert subject_slices({"b": 2, "a": 3}) == {"b": slice(0, 2), "a": slice(2, 5)}


@pytest.mark.parametrize("counts", [NAMED["n_voxels"], [18, 12]])
def test_counts_follow_the_order_of_the_subjects(counts: object) -> None:
    found = voxel_counts(PATH, {**NAMED, "n_voxels": counts})
    assert list(found.items()) == list(SUBJECTS.items())


@pytest.mark.parametrize("counts", [{"subj05": 18}, [18], [18, None], 30])
def test_a_subject_without_a_count_is_refused(counts: object) -> None:
    with refused("missing-data", "subj05"):
        voxel_counts(PATH, {**NAMED, "n_voxels": counts})


@pytest.mark.parametrize(
    "other",
    [
        {"subj05": 18},
        {"subj05": 17, "subj01": 12},
        {"subj01": 12, "subj05": 18},
        {"subj05": 18, "subj02": 12},
    ],
)
def test_other_subjects_are_refused(other: dict[str, int]) -> None:
    require_same_subjects(PATH, NAMED, SUBJECTS)
    with refused("inconsistent-inputs", "subj05", "cluster_voxels"):
        require_same_subjects(PATH, NAMED, other)
