"""The plan of a cohort beside NSD: sizes from the subjects' folders."""

from pathlib import Path

import pytest
from tests.cohort_folders import write_cohort_subject

from brainit.commands.dry_run import Job
from brainit.commands.plan.contents import make_plan
from brainit.commands.plan.hours import Hours
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


def test_a_plan_without_nsd_fetches_coco_alone(folders: dict[str, str]) -> None:
    names = ("laion-sub-01", "ben")
    jobs = [Job("prepare_lab_subject", (("subject", name),)) for name in names]
    jobs += [Job("download_external"), Job("prepare_external"), Job("join_cohort"), POOL]
    plan = make_plan(settings_of(folders, "laion/sub-01", "ben"), jobs, 1000.0)
    assert [(d["source"], d["bytes"]) for d in plan["downloads"]] == [("COCO", 19e9)]
    kept = (123_403 + 45 + 27) * 256**2 * 3 + 2 * (55 * 30 + 41 * 50)
    assert plan["peak_disk_bytes"] == pytest.approx(19e9 + (kept - 72 * 256**2 * 3), rel=0.01)
