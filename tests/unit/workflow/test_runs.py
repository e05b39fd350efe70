"""Names of durations, pools, variants and runs."""

import re
from typing import get_args

import pytest

from brainit.core.errors import PipelineError
from brainit.core.settings import base, data, models
from brainit.workflow.runs import (
    BASELINE,
    DURATION,
    FULL,
    MAIN,
    PARTIAL_DURATION,
    SUBJECT,
    VARIANT,
    Duration,
    Pool,
    Run,
    Variant,
)

SUBJECTS = ["subj01", "subj02", "subj05"]
DURATIONS = ["100trials", "15min", "30min", "450trials", *(f"{n}h" for n in range(1, 41))]


@pytest.mark.parametrize("name", DURATIONS)
def test_durations_keep_their_names(name: str) -> None:
    assert Duration.is_name(name) and Duration.parse(name).name == name
    assert re.fullmatch(DURATION, name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "0h",
        "41h",
        "49h",
        "50h",
        "100h",
        "16min",
        "9trials",
        "0100trials",
        "1h ",
        "01h",
        "h",
        "1",
    ],
)
def test_other_durations_are_refused(name: str) -> None:
    assert not Duration.is_name(name)
    with pytest.raises(PipelineError) as error:
        Duration.parse(name)
    assert error.value.code == "unknown-name" and error.value.found == name


def test_durations_in_order_minutes_and_trials() -> None:
    found = [Duration.parse(name) for name in DURATIONS]
    assert found == sorted(reversed(found))
    minutes = {
        "15min": 15,
        "30min": 30,
        "450trials": 36,
        "1h": 60,
        "1500trials": 120,
        "2h": 120,
        "40h": 2400,
    }
    assert {name: Duration.parse(name).minutes for name in minutes} == minutes
    trials = {
        "15min": 188,
        "30min": 375,
        "450trials": 450,
        "1001trials": 1001,
        "1h": 750,
        "40h": 30_000,
    }
    assert {name: Duration.parse(name).n_trials for name in trials} == trials
    sessions = {"15min": 0, "450trials": 0, "30000trials": 0, "1h": 1, "39h": 39, "40h": 40}
    assert {name: Duration.parse(name).sessions for name in sessions} == sessions
    assert [d.name for d in found if d.is_full] == ["40h"]
    labels = {"15min": "15 min", "450trials": "450 trials", "10h": "10 h"}
    assert {name: Duration.parse(name).label for name in labels} == labels


def test_the_settings_have_the_same_patterns() -> None:
    (field,) = [part for part in get_args(base.Duration) if hasattr(part, "metadata")]
    (pattern,) = [part.pattern for part in field.metadata if hasattr(part, "pattern")]
    assert pattern == f"^({PARTIAL_DURATION})$"
    assert f"^{VARIANT}$" == models.VARIANT_NAME
    for name in ("labsub", "S1", "subj01", "laion-sub-01", "mosaic-BOLD5000-CSI1"):
        assert Pool.parse(f"without_{name}").subject == name
        assert re.match(data.LAB_NAME, name) or name == "subj01"
    for name in ("laion-", "laion--1", "1a"):
        assert not re.fullmatch(SUBJECT, name) and not re.match(data.LAB_NAME, name)


@pytest.mark.parametrize(
    ("name", "members", "duration"),
    [
        ("all", SUBJECTS, "40h"),
        ("first2", ["subj01", "subj02"], "40h"),
        ("first8", SUBJECTS, "40h"),
        ("first93", SUBJECTS, "40h"),
        ("without_subj02", ["subj01", "subj05"], "40h"),
        ("without_subj07", SUBJECTS, "40h"),
        ("scratch_subj05_1h", ["subj05"], "1h"),
        ("scratch_labsub_1h", ["labsub"], "1h"),
        ("scratch_laion-sub-01_15min", ["laion-sub-01"], "15min"),
        ("scratch_subj05_40h", ["subj05"], "40h"),
    ],
)
def test_pools(name: str, members: list[str], duration: str) -> None:
    pool = Pool.parse(name)
    assert pool.name == name
    assert pool.members(SUBJECTS) == members
    assert pool.duration.name == duration


@pytest.mark.parametrize(
    "name", ["", "first0", "first100", "without_", "scratch_subj01", "scratch_subj01_99h", "every"]
)
def test_other_pools_are_refused(name: str) -> None:
    with pytest.raises(PipelineError) as error:
        Pool.parse(name)
    assert error.value.code == "unknown-name" and error.value.found == name


@pytest.mark.parametrize(
    ("name", "row", "seed"),
    [
        ("main", "main", None),
        ("k8", "k8", None),
        ("mlp_infonce", "mlp_infonce", None),
        ("seed43", "main", 43),
        ("k8_seed43", "k8", 43),
        ("mlp_infonce_seed7", "mlp_infonce", 7),
        ("k8_seed07", "k8_seed07", None),
    ],
)
def test_variants(name: str, row: str, seed: int | None) -> None:
    variant = Variant.parse(name)
    assert (variant.row, variant.seed) == (row, seed)
    assert variant.name == name
    assert variant.is_main == (name == "main")


@pytest.mark.parametrize(
    "name", ["", "scratch", "ridge", "knn", "place_only", "K8", "k8_", "_k8", "k-8"]
)
def test_other_variants_are_refused(name: str) -> None:
    with pytest.raises(PipelineError) as error:
        Variant.parse(name)
    assert error.value.code == "unknown-name" and error.value.found == name


@pytest.mark.parametrize(
    ("name", "kind", "duration", "variant", "pool"),
    [
        ("40h", "pooled", "40h", "main", "all"),
        ("40h_k8", "pooled", "40h", "k8", "all"),
        ("40h_k8_seed43", "pooled", "40h", "k8_seed43", "all"),
        ("nsdsynthetic", "nsdsynthetic", "40h", "main", "all"),
        ("nsdimagery_vision", "nsdimagery", "40h", "main", "all"),
        ("first2", "first", "40h", "main", "first2"),
        ("1h", "transfer", "1h", "main", "without_subj01"),
        ("15min", "transfer", "15min", "main", "without_subj01"),
        ("39h", "transfer", "39h", "main", "without_subj01"),
        ("1h_scratch", "scratch", "1h", "main", "scratch_subj01_1h"),
        ("15min_scratch", "scratch", "15min", "main", "scratch_subj01_15min"),
        ("40h_scratch", "scratch", "40h", "main", "scratch_subj01_40h"),
        ("first93", "first", "40h", "main", "first93"),
    ],
)
def test_runs(name: str, kind: str, duration: str, variant: str, pool: str) -> None:
    run = Run.parse(name)
    assert run.name == name
    assert (run.kind, run.duration.name, run.variant.name) == (kind, duration, variant)
    assert run.is_pooled == (pool == "all")
    assert run.is_transfer == (kind == "transfer")
    assert run.is_scratch == (kind == "scratch")
    assert run.is_nsdsynthetic == (kind == "nsdsynthetic")
    assert run.is_of_other_session == (kind in ("nsdsynthetic", "nsdimagery"))
    assert run.is_of_fewer_subjects == (kind == "first")
    assert run.pool("subj01").name == pool


@pytest.mark.parametrize(
    ("name", "duration", "method"),
    [
        ("40h_ridge", "40h", "ridge"),
        ("1h_ridge", "1h", "ridge"),
        ("15min_knn", "15min", "knn"),
        ("40h_knn", "40h", "knn"),
        ("40h_place_only", "40h", "place_only"),
    ],
)
def test_runs_of_baselines(name: str, duration: str, method: str) -> None:
    run = Run.parse(name)
    assert run.name == name
    assert (run.kind, run.duration.name, run.method) == ("baseline", duration, method)
    assert run.is_baseline and not (run.is_pooled or run.is_transfer)
    assert re.fullmatch(BASELINE, name) and run.variant.is_main


def test_the_plain_run_is_the_full_one() -> None:
    assert Run() == Run.parse("40h")
    assert Run().duration == FULL and Run().variant == MAIN


@pytest.mark.parametrize(
    "name",
    [
        "",
        "41h",
        "49h",
        "1h_k8",
        "99h_scratch",
        "40h_",
        "40h_main",
        "scratch",
        "first0",
        "1h_place_only",
        "ridge",
        "1h_ridge_seed7",
    ],
)
def test_other_runs_are_refused(name: str) -> None:
    with pytest.raises(PipelineError) as error:
        Run.parse(name)
    assert error.value.code == "unknown-name"


@pytest.mark.parametrize(
    "name",
    ["40h", "1h", "40h_k8", "1h_scratch", "first2", "nsdsynthetic", "1h_ridge", "40h_stage1"],
)
def test_a_search_is_named_after_its_run(name: str) -> None:
    run = Run.parse(f"{name}_search")
    assert run.is_searched and run.name == f"{name}_search"
    assert run.base == Run.parse(name) and run == Run.parse(name).searched


@pytest.mark.parametrize("name", ["40h_knn", "40h_place_only", "40h_search", "40h_search_search"])
def test_only_what_a_generator_samples_is_searched(name: str) -> None:
    with pytest.raises(PipelineError) as error:
        Run.parse(name if name.endswith("search_search") else f"{name}_search")
    assert error.value.code == "unknown-name"


@pytest.mark.parametrize("name", ["search", "k8_search"])
def test_no_variant_is_named_as_a_search(name: str) -> None:
    assert not re.fullmatch(VARIANT, name) and re.fullmatch(VARIANT, f"{name}er")
