"""The rehearsal of the published configuration: no full-size path is broken.

Each step runs by its own rule's command at true widths and numbers of voxels of a subject, with
networks of two blocks, U-Nets of two levels, batches of one or two and random weights.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from brainit.commands import rehearse
from brainit.commands.program import run

FEW = {
    "run": {"threads": 1, "device": "cpu"},
    "nsd": {"subjects": ["subj01", "subj02"], "evaluated": ["subj01"], "transfer": ["subj01"]},
    "encoder": {"batch": 2, "voxels_per_example": 500},
    "synthesis": {"batch": 1},
    "bit": {"n_blocks": 2},
    "bit_lowlevel": {"batch": 2, "voxels_per_example": 1000, "queries_per_layer": [32] * 5},
    "bit_semantic": {"batch": 2, "voxels_per_example": 1000, "queries_per_example": 32},
    "joint": {"batch": 1, "accumulation": 1},
    "recon": {"batch": 1},
    "dip": {"chunk": 1},
}
KINDS = ("lowlevel", "semantic")


@pytest.fixture(autouse=True)
def own_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the signals to the process of the tests."""
    monkeypatch.setattr(rehearse, "stop_on_signals", lambda: None)


def rehearsed(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *steps: str,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, object]]:
    """Rehearse steps of `all` under `FEW` and `settings`; return what is reported of each."""
    paths = {"results": str(tmp_path / "results"), "store": str(tmp_path / "store")}
    config = tmp_path / "few.yaml"
    config.write_text(yaml.safe_dump({**FEW, **(settings or {}), "paths": paths}))
    brief = ["--layers", "2", "--steps", "2", "--images", "1", "--json"]
    run(["rehearse", "all", *brief, "--configfile", str(config), "--only", *steps])
    assert list((tmp_path / "store").iterdir()) == [], "scratch is removed"
    assert not (tmp_path / "results").exists(), "depth 2 gives no rates"
    return dict(json.loads(capsys.readouterr().out)["steps"])


TRAININGS = ("train_encoder", "train_bit", "adapt_encoder", "adapt_bit", "adapt_joint")
LATENTS = {"features": {"cache_latents": True}}
ONE_SUBJECT = {"nsd": {"subjects": ["subj01"], "evaluated": ["subj01"], "transfer": []}}


def test_trainings_and_transfer_run_at_true_widths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new subject's own trainings too; its stage 2 reads cached latents."""
    steps = (*TRAININGS, "evaluate")
    found = rehearsed(tmp_path, capsys, *steps, settings=LATENTS)
    kinds = {f"{step}_bit {kind}" for step in ("train", "adapt") for kind in KINDS}
    assert set(found) == {*steps, *kinds} - {"train_bit", "adapt_bit"}
    assert {facts["verdict"] for facts in found.values()} == {"fits"}
    assert all(float(str(facts["seconds_per_unit"])) > 0 for facts in found.values())
    assert all(float(str(facts["scratch_bytes"])) < 2e9 for facts in found.values())


def test_stage_2_runs_at_true_widths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It trains all of the U-Net, and encodes its images."""
    found = rehearsed(tmp_path, capsys, "train_joint", settings=ONE_SUBJECT)
    assert found["train_joint"]["verdict"] == "fits"
    assert float(str(found["train_joint"]["seconds_per_unit"])) > 0


@pytest.mark.skipif(
    "BRAINIT_REHEARSAL" not in os.environ, reason="half an hour on a CPU; set BRAINIT_REHEARSAL=1"
)
def test_predictions_clusters_and_reconstructions_run_at_true_widths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = ("synthesize_fmri", "assign_voxels", "reconstruct_lowlevel", "reconstruct_semantic")
    found = rehearsed(tmp_path, capsys, *steps, "reconstruct_fused")
    assert {facts["verdict"] for facts in found.values()} == {"fits"}
