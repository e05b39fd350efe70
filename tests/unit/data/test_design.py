"""The trial table against a plain reading of the design, and the splits."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from brainit.core.errors import PipelineError
from brainit.core.settings import NsdSettings
from brainit.data import splits
from brainit.data.nsd.design import prepare_design
from brainit.data.trials import TRIAL_COLUMNS, in_duration, read_trials, write_trials

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


def test_shared_images_outside_the_test_set_are_unused() -> None:
    names = splits.split_names(
        np.array([0, 1, 2, 3]), np.array([True, True, False, False]), np.array([0]), np.array([2])
    )
    assert names.tolist() == ["test", "unused", "val", "train"]
