"""Rows of the baselines: beside ours in Table 1, T4 and T7, and said to be ours, not published."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.unit.evaluation.made_up import results_of

from brainit.core.settings import parse_sections
from brainit.data.trials import TRIAL_COLUMNS
from brainit.evaluation.tables.build import make_tables
from brainit.evaluation.tables.records import count_training_trials
from brainit.evaluation.tables.rows import TABLES
from brainit.workflow.runs import Run

VALUES = {
    "40h/fused": 0.5,
    "1h/fused": 0.4,
    "40h_ridge/lowlevel": 0.6,
    "40h_ridge/semantic": 0.52,
    "40h_ridge/fused": 0.54,
    "1h_ridge/fused": 0.45,
    "40h_knn/fused": 0.37,
    "1h_knn/fused": 0.3,
    "40h_place_only/fused": 0.35,
}


@pytest.mark.parametrize("is_simulated", [True, False])
def test_baselines_stand_beside_ours(tmp_path: Path, is_simulated: bool) -> None:
    scores = {
        f"subj01/{name}": {"PixCorr": [value - 0.1, value, value + 0.1]}
        for name, value in VALUES.items()
        if is_simulated or "place" not in name
    }
    counts = {("subj01", "40h"): 240, ("subj01", "1h"): 24}
    settings = parse_sections({"run": {"simulation": is_simulated}})
    found = make_tables(["table1", "t4", "t7"], results_of(tmp_path, scores, counts), settings)
    ours = {table.name: table.records[table.records["metric"] == "PixCorr"] for table in found}
    means = {
        name: dict(zip(records["condition"], records["ours"].round(6), strict=True))
        for name, records in ours.items()
    }
    shared, data = "(baseline, our data and pretrained generator)", "(baseline, our data)"
    whole, hour = "40 h (240 training trials)", "1 h (24 training trials)"
    expected = {
        f"Brain-IT, {whole}": 0.5,
        f"Brain-IT, {hour}": 0.4,
        f"ridge {shared}, {whole}": 0.54,
        f"nearest training image {data}, {whole}": 0.37,
        f"ridge {shared}, {hour}": 0.45,
        f"nearest training image {data}, {hour}": 0.3,
    }
    oracle = "true place without objects (oracle that knows nothing else)"
    assert means["table1"] == expected | ({oracle: 0.35} if is_simulated else {})
    assert means["t4"][f"ridge, low-level only {data}, {whole}"] == 0.6
    assert means["t4"][f"ridge, semantic only {shared}, {whole}"] == 0.52
    assert means["t7"][f"ridge {shared}, {hour}"] == 0.45
    records = ours["table1"].set_index("condition")
    row = records.loc[f"nearest training image {data}, {whole}"]
    assert row["paper"] != row["paper"], "nothing is published of a baseline of ours"
    assert row["paired_difference"] == pytest.approx(0.37 - 0.5)


def test_references_are_brain_it() -> None:
    for name in ("table1", "t4", "t7"):
        rows = TABLES[name]
        assert not Run.parse(rows.conditions[rows.reference].run).is_baseline
        assert any(Run.parse(row.run).is_baseline for row in rows.conditions)
        assert not [
            row for row in rows.conditions if Run.parse(row.run).is_baseline and row.paper_row
        ]


def test_baselines_of_an_hour_train_on_all_its_trials(tmp_path: Path) -> None:
    rows = [
        (trial, 1 + trial // 6, 1, trial % 6, trial, 0, False, "val" if trial % 3 else "train")
        for trial in range(12)
    ]
    path = tmp_path / "trials.csv"
    pd.DataFrame(rows, columns=list(TRIAL_COLUMNS)).to_csv(path, index=False)
    for runs in (("40h_ridge", "1h_knn"), ("40h", "1h")):
        counts = count_training_trials({"subj01": path}, runs)
        assert counts == {("subj01", "40h"): 4, ("subj01", "1h"): 6}
    untimed = pd.read_csv(path).assign(seconds=np.nan)
    untimed.to_csv(path, index=False)
    counts = count_training_trials({"subj01": path}, ["40h", "1h"])
    assert counts == {("subj01", "40h"): 4}, "it has no hour, nor a run of it"
