"""The plan of a cohort beside NSD: sizes from the subjects' folders."""

from pathlib import Path

import pytest
from tests.cohort_folders import write_cohort_subject

from brainit.commands.dry_run import Job
from brainit.commands.plan.contents import as_lines, make_plan
from brainit.commands.plan.hours import Hours
from brainit.commands.plan.memory import training_bytes
from brainit.commands.plan.ridge import n_images
from brainit.commands.plan.sizes import Sizes
from brainit.core.settings import Settings, parse_sections
from brainit.workflow.cohort import with_members

POOL = Job("train_encoder", (("pool", "all"),))
RIDGE = Job(
    "predict_ridge", (("subject", "laion-sub-01"), ("kind", "lowlevel"), ("duration", "40h"))
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("folders")
    write_cohort_subject(root / "a", range(100, 140), range(5), 30, seed=1)
    write_cohort_subject(root / "b", range(200, 220), range(7), 50, seed=2)
    return {"laion/sub-01": str(root / "a"), "ben": str(root / "b")}


def settings_of(folders: dict[str, str], *subjects: str) -> Settings:
    sections = {"cohort": {"subjects": list(subjects)}, "lab": folders, "nsd": {}}
    return parse_sections(with_members(sections))


def test_sizes_are_those_of_the_folders(folders: dict[str, str]) -> None:
    sizes = Sizes(settings_of(folders, "laion/sub-01", "ben"))
    assert sizes.n_voxels("laion-sub-01") == 30 and sizes.n_sessions("ben") == 2
    assert sizes.n_stimuli == 45 + 27, "without NSD's stimuli"
    assert sizes.prepared("laion-sub-01") == (40 + 3 * 5) * 30 * 2
    assert sizes.n_test("ben") == 7 and sizes.all_voxels(POOL) == 80
    hours = Hours(sizes, Path("none"))
    assert hours.n_real(POOL) == pytest.approx(0.9 * (40 + 20))
    assert n_images(sizes, RIDGE) == 40


def test_nsd_counts_as_it_does_alone(folders: dict[str, str]) -> None:
    mixed, alone = (
        Sizes(settings_of(folders, *subjects))
        for subjects in (("subj01", "laion/sub-01"), ("subj01",))
    )
    assert mixed.n_stimuli == alone.n_stimuli + 45
    assert mixed.all_voxels(POOL) == alone.all_voxels(POOL) + 30
    reals = [Hours(sizes, Path("none")).n_real(POOL) for sizes in (mixed, alone)]
    assert reals[0] == pytest.approx(reals[1] + 0.9 * 40)


MOSAIC = [32_000] * 93
"""About MOSAIC's voxels: 3 million of 93 subjects."""


def memory_of(rule: str, n_voxels: list[int], where: str, **joint: object) -> float:
    sections = {"cohort": {"embedding_states": where}, "joint": joint}
    return training_bytes(parse_sections(sections), n_voxels, rule) / 1e9


def test_mosaics_trainings_fit_80_gb_with_moments_on_the_host() -> None:
    """A table of 2.976 million rows of 512 float32 is 6.1 GB; a step reads 8, or 4 times 8."""
    table, one = 2_976_000 * 512 * 4 / 1e9, 32_000 * 512 * 4 / 1e9
    bit = memory_of("train_bit", [], "device")
    assert memory_of("train_bit", MOSAIC, "device") == pytest.approx(bit + 5 * table)
    assert memory_of("train_bit", MOSAIC, "host") == pytest.approx(bit + table + 4 * 8 * one)
    joint = memory_of("train_joint", [], "device")
    assert memory_of("train_joint", MOSAIC, "device") == pytest.approx(joint + 5 * table)
    on_host = memory_of("train_joint", MOSAIC, "host")
    assert on_host == pytest.approx(joint + table + 4 * 32 * one)
    less = memory_of("train_joint", MOSAIC, "device", optimizer="adafactor")
    nothing = memory_of("train_joint", [], "device", optimizer="adafactor")
    assert less == pytest.approx(nothing + 3 * table)
    assert joint == pytest.approx(45.0 + bit, rel=0.01), "the U-Net as test_memory.py counts it"
    assert on_host < 64 < 76 < memory_of("train_joint", MOSAIC, "device") < 80


def test_a_plan_tells_the_memory_of_its_largest_pool(folders: dict[str, str]) -> None:
    settings = settings_of(folders, "laion/sub-01", "ben")
    jobs = [Job("train_bit", (("pool", pool), ("kind", "semantic"))) for pool in ("first1", "all")]
    plan = make_plan(settings, jobs, 1000.0)
    assert plan["training_memory_bytes"] == {
        "train_bit": training_bytes(settings, [30, 50], "train_bit")
    }
    assert any("GPU memory without activations" in line for line in as_lines("all", plan))


def test_a_plan_without_nsd_fetches_coco_alone(folders: dict[str, str]) -> None:
    names = ("laion-sub-01", "ben")
    jobs = [Job("prepare_lab_subject", (("subject", name),)) for name in names]
    jobs += [Job("download_external"), Job("prepare_external"), Job("join_cohort"), POOL]
    plan = make_plan(settings_of(folders, "laion/sub-01", "ben"), jobs, 1000.0)
    assert [(d["source"], d["bytes"]) for d in plan["downloads"]] == [("COCO", 19e9)]
    kept = (123_403 + 45 + 27) * 256**2 * 3 + 2 * (55 * 30 + 41 * 50)
    assert plan["peak_disk_bytes"] == pytest.approx(19e9 + (kept - 72 * 256**2 * 3), rel=0.01)
