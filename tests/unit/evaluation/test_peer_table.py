"""The table of peers: rows run here, identification, costs, and published rows apart."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tests.refusals import refused
from tests.unit.evaluation.made_up import results_of

from brainit.core.settings import parse_sections
from brainit.evaluation.identification import identification_rows
from brainit.evaluation.metrics.names import IDENTIFIED
from brainit.evaluation.tables.build import make_tables
from brainit.evaluation.tables.peers import (
    CLAIMS,
    CONTRASTIVE_CLAIM,
    COST_NOTE,
    OTHERS_NOTE,
    SEARCH_CLAIM,
    TOKEN_NOTE,
    cost_block,
    settings_notes,
)

SCORES = {
    "40h_stage1/semantic": 0.5,
    "40h_mindeye2/semantic": 0.4,
    "1h_stage1/semantic": 0.2,
    "1h_lora_skip/semantic": 0.3,
    "40h/fused": 0.6,
    "1h/fused": 0.45,
    "30min_mindeye2/semantic": 0.35,
    "2h_mindeye2/semantic": 0.38,
    "2h_stage1/semantic": 0.28,
}


def test_rows_costs_and_identification(tmp_path: Path) -> None:
    sections: dict[str, Any] = {"mindeye2": {"residual": "released", "width": 128}}
    settings = parse_sections({"run": {"simulation": True}, **sections})
    scores = {f"subj01/{k}": {"PixCorr": [v - 0.1, v, v + 0.1]} for k, v in SCORES.items()}
    similarity = np.eye(4) - 0.5 * np.eye(4)[::-1]
    found = pd.DataFrame(
        identification_rows("ridge", similarity, settings), columns=list(IDENTIFIED)
    )
    found.to_csv(tmp_path / "found.csv", index=False)
    history = pd.DataFrame({"epoch": [1, 2], "n_examples": 810, "n_trained": 50})
    history.assign(n_parameters=1234).to_csv(tmp_path / "history.csv", index=False)
    results = replace(
        results_of(tmp_path, scores, {("subj01", "40h"): 240, ("subj01", "1h"): 24}),
        costs={"all/mindeye2": tmp_path / "history.csv", "subj01/1h_x": tmp_path / "history.csv"},
        identification={"subj01/40h/ridge": tmp_path / "found.csv"},
    )
    (table,) = make_tables(["peers"], results, settings)
    means = table.records.groupby("condition", sort=False)["ours"].first().round(6)
    assert sorted(means) == sorted(SCORES.values())
    pairs = table.records.dropna(subset="paired_difference")
    assert sorted(pairs["paired_difference"].round(6)) == [-0.1, 0.1, 0.1, 0.1, 0.25]
    for row, reference in zip(pairs["condition"], pairs["compared_with"], strict=True):
        amount = row.rpartition(", ")[2].split(" (")[0]
        assert reference == f"Brain-IT, stage 1 alone, run here, {amount}", "of its own amount"
    differences = [b.heading for b in table.blocks if b.heading.startswith("Difference from")]
    assert len(differences) == 3, "none for 30 min, which has no stage 1"
    blocks = {block.heading: block for block in table.blocks}
    costs = blocks["Costs of the trainings"].rows
    assert costs[0] == ("all/mindeye2", "1,234", "50", "2", "1,620")
    assert not any("hours" in column for column in blocks["Costs of the trainings"].columns)
    assert COST_NOTE in table.notes
    identified = blocks["Identification among all test images"].rows[0]
    assert identified[0].startswith("subj01/40h") and "100.0 %" in identified
    assert any(heading.startswith("As published") for heading in blocks)
    assert set(CLAIMS) <= set(table.notes)
    changed = next(note for note in table.notes if "width 128 (default 4096)" in note)
    assert "residual released (default drawn)" in changed and "epochs" not in changed


def test_tables_of_retrieval_have_rows_by_tokens(tmp_path: Path) -> None:
    """Of 4 images all but the last find their own, brain to image."""
    settings = parse_sections({"run": {"simulation": True}})
    similarity = np.eye(4) - 2.0 * np.eye(4)[3][:, None] * np.eye(4)[3]
    found = pd.DataFrame(
        identification_rows("stage1", similarity, settings), columns=list(IDENTIFIED)
    )
    found.to_csv(tmp_path / "found.csv", index=False)
    scores = {"subj01/40h/fused": {"net.a.image_retrieval_4way": [0.0, 100.0]}}
    plain = results_of(tmp_path, scores, {("subj01", "40h"): 240})
    results = replace(plain, identification={"subj01/40h/stage1": tmp_path / "found.csv"})
    for table, bare in zip(
        make_tables(["t6", "retrieval"], results, settings),
        make_tables(["t6", "retrieval"], plain, settings),
        strict=True,
    ):
        (block,) = [b for b in table.blocks if b.heading.startswith("Retrieval by tokens")]
        assert block.rows[0][:3] == ("subj01/40h, stage1", "4", "75.0 %")
        assert TOKEN_NOTE in table.notes and (OTHERS_NOTE in table.notes) == (table.name == "t6")
        assert len(bare.blocks) == len(table.blocks) - 1 and TOKEN_NOTE not in bare.notes


def test_a_contrastive_ablation_is_a_row_with_a_note_of_its_own(tmp_path: Path) -> None:
    settings = parse_sections({"run": {"simulation": True}})
    values = {**SCORES, "40h_contrastive/fused": 0.62}
    scores = {f"subj01/{k}": {"PixCorr": [v - 0.1, v, v + 0.1]} for k, v in values.items()}
    results = results_of(tmp_path, scores, {("subj01", "40h"): 240, ("subj01", "1h"): 24})
    (table,) = make_tables(["peers"], results, settings)
    rows = table.records[table.records["ours"].round(6) == 0.62]
    (row,) = set(rows["condition"])
    assert row == "Brain-IT with a contrastive head, combined, 40 h (240 training trials)"
    assert CONTRASTIVE_CLAIM in table.notes


def test_searched_rows_stand_beside_their_runs_with_a_note_of_their_own(tmp_path: Path) -> None:
    settings = parse_sections({"run": {"simulation": True}})
    found = {"40h_search/fused": 0.7, "40h_mindeye2_search/fused": 0.45, "1h_search/fused": 0.5}
    trials = {("subj01", "40h"): 240, ("subj01", "1h"): 24}
    notes = {}
    for name, values in (("plain", SCORES), ("searched", {**SCORES, **found})):
        scores = {f"subj01/{k}": {"PixCorr": [v - 0.1, v, v + 0.1]} for k, v in values.items()}
        (tmp_path / name).mkdir()
        results = results_of(tmp_path / name, scores, trials)
        table, sessions = make_tables(["peers", "sessions"], results, settings)
        means = table.records.groupby("condition", sort=False)["ours"].first().round(6)
        assert sorted(means) == sorted(values.values())
        notes[name] = table.notes
        assert CONTRASTIVE_CLAIM not in table.notes
        assert not any("search" in str(row) for row in sessions.records["condition"])
    rows = {row.split(" (")[0]: mean for row, mean in means.items() if "search" in str(row)}
    own = "brain-consistent search"
    assert rows == {
        f"MindEye2's decoder, our implementation, run here, {own}, 40 h": 0.45,
        f"Brain-IT, combined, {own}, 40 h": 0.7,
        f"Brain-IT, combined, {own}, 1 h": 0.5,
    }
    assert SEARCH_CLAIM in notes["searched"] and SEARCH_CLAIM not in notes["plain"]


def test_every_switch_and_size_that_is_not_the_default_is_noted() -> None:
    changes: dict[str, dict[str, Any]] = {
        "mindeye2": {"across_subjects": "released", "mixed_share": 0.5, "epochs": 7},
        "lora_skip": {"skip_gradient": "released", "rank": 4},
        "mindbridge": {"width": 64},
    }
    notes = settings_notes(parse_sections(changes))
    for note, (section, values) in zip(notes, changes.items(), strict=True):
        assert section in note and note.count("default ") == len(values) + note.count("by default ")
        for key, value in values.items():
            assert f"{key} {value} (default" in note
    assert not any("(default" in note for note in settings_notes(parse_sections({})))


def test_a_history_without_costs_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"epoch": [1]}).to_csv(tmp_path / "history.csv", index=False)
    with refused("missing-data", "history.csv", "n_examples"):
        cost_block({"all/mindeye2": tmp_path / "history.csv"})
