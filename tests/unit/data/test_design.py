"""The trial table against a plain reading of the design, and the splits."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brainit.core.errors import PipelineError
from brainit.core.settings import NsdSettings
from brainit.data import splits
from brainit.data.nsd.design import prepare_design
from brainit.data.trials import (
    SECONDS,
    TRIAL_COLUMNS,
    has_duration,
    in_duration,
    read_trials,
    write_trials,
)

SETTINGS = NsdSettings(validation_share=0.25)


def table_of(tree: Any, subject: str = "subj01", **changes: Any) -> pd.DataFrame:
    return prepare_design(tree.root, subject, NsdSettings(validation_share=0.25, **changes), 42)


@pytest.mark.parametrize("subject", ["subj01", "subj02"])
def test_trials_equal_a_plain_loop(tiny_nsd: Any, subject: str) -> None:
    table = table_of(tiny_nsd, subject)
    seen: dict[int, int] = {}
    n = tiny_nsd.trials_per_session
    for trial, image in enumerate(tiny_nsd.planned[subject]):
        row = table.iloc[trial]
        assert row["nsd_id"] == image - 1
        assert row["session"] == trial // n + 1
        assert row["trial_in_session"] == trial % n
        assert row["run"] == tiny_nsd.run_of_trial[trial]
        assert row["repeat"] == seen.get(image, 0)
        seen[image] = seen.get(image, 0) + 1
    assert len(table) == len(tiny_nsd.planned[subject])


def test_splits_do_not_share_images(tiny_nsd: Any) -> None:
    table = table_of(tiny_nsd)
    images = {name: set(group["nsd_id"]) for name, group in table.groupby("split")}
    assert len(images["val"]) == 4 and len(images["train"]) == 12 and len(images["test"]) == 4
    assert not images["val"] & images["train"] and not images["test"] & images["train"]
    assert images["test"] == set(table.loc[table["is_shared"], "nsd_id"])


def test_split_depends_on_seed_and_subject_alone(tiny_nsd: Any) -> None:
    assert table_of(tiny_nsd).equals(table_of(tiny_nsd))
    other = prepare_design(tiny_nsd.root, "subj01", SETTINGS, 43)
    assert not table_of(tiny_nsd)["split"].equals(other["split"])


def test_table_survives_its_file(tiny_nsd: Any, tmp_path: Any) -> None:
    table = table_of(tiny_nsd)
    write_trials(tmp_path / "trials.csv", table)
    read = read_trials(tmp_path / "trials.csv")
    assert tuple(read.columns) == TRIAL_COLUMNS
    for column in TRIAL_COLUMNS:
        assert read[column].tolist() == table[column].tolist()


def test_subject_with_fewer_sessions(make_nsd: Any, tmp_path: Any) -> None:
    tree = make_nsd(tmp_path)
    path = tree.responses_path("subj01")
    rows = pd.read_csv(path, sep="\t")
    rows[rows["SESSION"] <= 3].to_csv(path, sep="\t", index=False)
    assert table_of(tree)["session"].max() == 3
    assert len(table_of(tree)) == 3 * tree.trials_per_session


def planned(sessions_by_image: dict[int, list[int]], own: dict[int, list[int]]) -> pd.DataFrame:
    rows = [(i, s, True) for i, sessions in sessions_by_image.items() for s in sessions]
    rows += [(i, s, False) for i, sessions in own.items() for s in sessions]
    return pd.DataFrame(rows, columns=["nsd_id", "session", "is_shared"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shared1000", [1, 2, 3, 4]),
        ("shared982", [1, 2, 3]),
        ("shared907", [1, 2]),
        ("shared515", [1]),
    ],
)
def test_test_sets(name: str, expected: list[int]) -> None:
    sessions = {1: [1, 2, 30], 2: [30, 31, 40], 3: [35, 36, 40], 4: [38, 39, 40]}
    table = planned(sessions, {9: [1, 2, 3]})
    assert splits.test_images(table, name).tolist() == expected


def test_durations(tiny_nsd: Any) -> None:
    table = table_of(tiny_nsd)
    first = (table["session"] == 1).to_numpy()
    run = table["run"].to_numpy()
    assert in_duration(table, "40h").all()
    assert np.array_equal(in_duration(table, "1h"), first)
    assert np.array_equal(in_duration(table, "30min"), first & (run <= 6))
    assert np.array_equal(in_duration(table, "15min"), first & (run <= 3))
    place = table["trial_in_session"].to_numpy()
    n_of_450 = round(450 / 750 * first.sum())
    assert np.array_equal(in_duration(table, "450trials"), first & (place < n_of_450))
    assert in_duration(table, "450trials").sum() == n_of_450
    n_more = int(first.sum()) + 10
    assert np.array_equal(in_duration(table, f"{n_more}trials"), table["trial"] < n_more)
    assert in_duration(table, "10trials").sum() == 10
    for n_sessions in (2, 3):
        inside = (table["session"] <= n_sessions).to_numpy()
        assert np.array_equal(in_duration(table, f"{n_sessions}h"), inside)
    for unknown in ("0h", "45min", "2hours", "100h"):
        with pytest.raises(PipelineError) as error:
            in_duration(table, unknown)
        assert (error.value.code, error.value.found) == ("unknown-name", unknown)
        assert "transfer.durations" in error.value.fix and "450trials" in error.value.fix


@pytest.mark.parametrize("seconds", [4.0, 3.49, 0.1, 5000.0])
def test_time_by_the_seconds_of_trials(tiny_nsd: Any, seconds: float, tmp_path: Path) -> None:
    """The first trials that end within the time, over sessions of any length; numbers are plain."""
    table = table_of(tiny_nsd).assign(**{SECONDS: seconds})
    write_trials(tmp_path / "t.csv", table)
    read = read_trials(tmp_path / "t.csv")
    assert tuple(read.columns) == (*TRIAL_COLUMNS, SECONDS)
    for name, minutes in {"15min": 15, "30min": 30, "1h": 60, "2h": 120, "39h": 39 * 60}.items():
        expected = [
            round((trial + 1) * seconds, 6) <= 60 * minutes for trial in read["trial"].tolist()
        ]
        assert in_duration(read, name).tolist() == expected
    assert in_duration(read, "40h").all()
    for n_trials in (10, 450):
        inside = in_duration(read, f"{n_trials}trials")
        assert inside.sum() == min(n_trials, len(read)) and inside[:n_trials].all()


def test_time_of_nsd_s_trials_is_that_of_its_sessions(tiny_nsd: Any) -> None:
    """At 4.8 s, 750 trials are an hour; the tiny sessions are shorter by a factor."""
    table = table_of(tiny_nsd)
    n = int((table["session"] == 1).sum())
    timed = table.assign(**{SECONDS: 3600 / n})
    for name in ("1h", "2h", "3h"):
        assert np.array_equal(in_duration(timed, name), in_duration(table, name))


def test_no_time_without_sessions_and_seconds(tiny_nsd: Any, tmp_path: Path) -> None:
    write_trials(tmp_path / "t.csv", table_of(tiny_nsd).assign(**{SECONDS: np.nan}))
    table = read_trials(tmp_path / "t.csv")
    assert in_duration(table, "40h").all() and in_duration(table, "10trials").sum() == 10
    for name in ("15min", "1h", "2h"):
        assert not has_duration(table, name)
        with pytest.raises(PipelineError) as error:
            in_duration(table, name)
        assert error.value.code == "missing-data" and name in error.value.where
        assert "recon_500trials" in error.value.fix and "seconds_per_trial" in error.value.fix
    assert has_duration(table, "10trials") and has_duration(table_of(tiny_nsd), "1h")


@pytest.mark.parametrize("wrong", ["0", "-4", "inf", "four"])
def test_seconds_that_are_none_are_refused(tiny_nsd: Any, tmp_path: Path, wrong: str) -> None:
    table_of(tiny_nsd).assign(**{SECONDS: wrong}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(PipelineError) as error:
        read_trials(tmp_path / "t.csv")
    assert error.value.code == "bad-values" and SECONDS in error.value.expected


def test_shared_images_outside_the_test_set_are_unused() -> None:
    names = splits.split_names(
        np.array([0, 1, 2, 3]), np.array([True, True, False, False]), np.array([0]), np.array([2])
    )
    assert names.tolist() == ["test", "unused", "val", "train"]
