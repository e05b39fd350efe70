"""Each disagreement of NSD's design files ends in one clear error."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy.io import loadmat, savemat

from brainit.core.errors import PipelineError
from brainit.core.settings import NsdSettings
from brainit.data.nsd.design import prepare_design


@pytest.fixture
def tree(make_nsd: Callable[..., Any], tmp_path: Path) -> Any:
    return make_nsd(tmp_path)


def design_fault(tree: Any, code: str, subject: str = "subj01") -> str:
    """Return the text of the error, which has this code."""
    with pytest.raises(PipelineError) as error:
        prepare_design(tree.root, subject, NsdSettings(), 42)
    assert error.value.code == code
    return str(error.value)


def change_responses(tree: Any, change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> None:
    path = tree.responses_path("subj01")
    table = pd.read_csv(path, sep="\t")
    changed = change(table)
    (table if changed is None else changed).to_csv(path, sep="\t", index=False)


def change_expdesign(tree: Any, **arrays: Any) -> None:
    content = {k: v for k, v in loadmat(tree.expdesign_path).items() if not k.startswith("__")}
    savemat(tree.expdesign_path, {**content, **arrays})


def set_in_expdesign(tree: Any, name: str, place: tuple[int, int], value: int) -> None:
    array = loadmat(tree.expdesign_path)[name]
    array[place] = value
    change_expdesign(tree, **{name: array})


def test_responses_of_another_image(tree: Any) -> None:
    def swap(table: pd.DataFrame) -> None:
        old = table["73KID"]
        other = next(i for i in range(1, len(old)) if old[i] != old[0])
        table.loc[[0, other], "73KID"] = old[[other, 0]].to_numpy()

    change_responses(tree, swap)
    text = design_fault(tree, "inconsistent-inputs")
    assert "responses.tsv trial 1" in text and "nsd_expdesign.mat" in text


def test_responses_of_another_run(tree: Any) -> None:
    change_responses(tree, lambda table: table.assign(RUN=table["RUN"].where(table.index != 5, 12)))
    assert "responses.tsv trial 6" in design_fault(tree, "inconsistent-inputs")


def test_responses_with_a_trial_missing(tree: Any) -> None:
    change_responses(tree, lambda table: table.drop(index=14))
    text = design_fault(tree, "inconsistent-inputs")
    assert "session 2" in text and "12 trials" in text and "found 11" in text


@contextmanager
def changed_stimulus_table(tree: Any) -> Iterator[pd.DataFrame]:
    """Read the stimulus table; write it as it was changed."""
    table = pd.read_csv(tree.csv_path, index_col=0)
    yield table
    table.to_csv(tree.csv_path)


@pytest.mark.parametrize("image", [0, 10**6])
def test_image_id_out_of_range(tree: Any, image: int) -> None:
    change_responses(
        tree, lambda table: table.assign(**{"73KID": table["73KID"].where(table.index != 3, image)})
    )
    text = design_fault(tree, "bad-values")
    assert "73KID" in text and "1..39" in text and str(image) in text


def test_image_id_of_the_design_out_of_range(tree: Any) -> None:
    set_in_expdesign(tree, "subjectim", (0, 6), 4000)
    text = design_fault(tree, "bad-values")
    assert "nsd_stim_info_merged.csv" in text and "1..39" in text and "4000" in text


def test_zero_based_stimulus_table_shifted(tree: Any) -> None:
    with changed_stimulus_table(tree) as table:
        table["nsdId"] += 1
    assert "nsdId 0..38" in design_fault(tree, "bad-values")


def test_stimulus_table_of_other_trials(tree: Any) -> None:
    with changed_stimulus_table(tree) as table:
        pair = ["subject1_rep0", "subject1_rep1"]
        table[pair] = table[pair[::-1]].to_numpy()
    text = design_fault(tree, "inconsistent-inputs")
    assert all(fact in text for fact in ("nsd_stim_info_merged.csv", "subj01", "nsdId"))


def test_stimulus_table_of_another_shared_set(tree: Any) -> None:
    with changed_stimulus_table(tree) as table:
        table["shared1000"] = ~table["shared1000"]
    text = design_fault(tree, "inconsistent-inputs")
    assert "nsd_stim_info_merged.csv" in text and "shared1000" in text


def test_design_of_unequal_trial_counts(tree: Any) -> None:
    set_in_expdesign(tree, "stimpattern", (0, 0), 0)
    text = design_fault(tree, "inconsistent-inputs")
    assert "60 trials" in text and "masterordering" in text and "stimpattern (5, 12, 75)" in text


def test_order_beyond_the_list(tree: Any) -> None:
    set_in_expdesign(tree, "masterordering", (0, 0), 99)
    text = design_fault(tree, "bad-values")
    assert "masterordering" in text and "1..20" in text and "99" in text


@pytest.mark.parametrize("n_bytes", [60, 300])
def test_truncated_design(tree: Any, n_bytes: int) -> None:
    os.truncate(tree.expdesign_path, tree.expdesign_path.stat().st_size - n_bytes)
    assert "nsd_expdesign.mat" in design_fault(tree, "damaged-file")


def test_subject_without_a_row(tree: Any) -> None:
    text = design_fault(tree, "missing-data", "subj07")
    assert "subj07" in text and "nsd.subjects" in text
    assert "subj09" in design_fault(tree, "unknown-name", "subj09")
