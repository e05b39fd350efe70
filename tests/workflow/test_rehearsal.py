"""The rehearsal of the published configuration: no full-size path is broken.

Each step runs by its own rule's command at true widths and numbers of voxels of a subject, with
networks of two blocks, batches of one or two and random weights.
"""

import json
import os
from pathlib import Path

import pytest
import yaml

from brainit.commands import rehearse
from brainit.commands.program import run

FEW = {
    "run": {"threads": 1, "device": "cpu"},
    "nsd": {"subjects": ["subj01"], "evaluated": ["subj01"], "transfer": []},
    "encoder": {"batch": 2, "voxels_per_example": 500},
    "synthesis": {"batch": 1},
    "bit": {"n_blocks": 2},
    "bit_lowlevel": {"batch": 2, "voxels_per_example": 1000, "queries_per_layer": [32] * 5},
    "bit_semantic": {"batch": 2, "voxels_per_example": 1000, "queries_per_example": 32},
    "joint": {"batch": 1, "accumulation": 1},
    "recon": {"batch": 1},
    "dip": {"chunk": 1},
}


@pytest.fixture(autouse=True)
def own_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the signals to the process of the tests."""
    monkeypatch.setattr(rehearse, "stop_on_signals", lambda: None)


def rehearsed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *steps: str
) -> dict[str, dict[str, object]]:
    """Rehearse steps of `all`; return what is reported of each."""
    paths = {"results": str(tmp_path / "results"), "store": str(tmp_path / "store")}
    config = tmp_path / "few.yaml"
    config.write_text(yaml.safe_dump({**FEW, "paths": paths}))
    brief = ["--layers", "2", "--steps", "2", "--images", "1", "--json"]
    run(["rehearse", "all", *brief, "--configfile", str(config), "--only", *steps])
    assert list((tmp_path / "store").iterdir()) == [], "scratch is removed"
    assert not (tmp_path / "results").exists(), "depth 2 gives no rates"
    return dict(json.loads(capsys.readouterr().out)["steps"])


def test_trainings_run_at_true_widths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = ("train_encoder", "train_bit")
    found = rehearsed(tmp_path, capsys, *steps)
    kinds = {"train_bit lowlevel", "train_bit semantic"}
    assert set(found) == {*steps, *kinds} - {"train_bit"}
    assert {facts["verdict"] for facts in found.values()} == {"fits"}
    assert all(float(str(facts["seconds_per_unit"])) > 0 for facts in found.values())
    assert all(float(str(facts["scratch_bytes"])) < 2e9 for facts in found.values())


@pytest.mark.skipif(
    "BRAINIT_REHEARSAL" not in os.environ, reason="half an hour on a CPU; set BRAINIT_REHEARSAL=1"
)
def test_predictions_stage_2_and_reconstructions_run_at_true_widths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = ("synthesize_fmri", "train_joint", "reconstruct_lowlevel", "reconstruct_semantic")
    found = rehearsed(tmp_path, capsys, *steps, "reconstruct_fused", "evaluate")
    assert {facts["verdict"] for facts in found.values()} == {"fits"}
