"""A real signal to a real step: it ends with status 75, and the same command continues it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainit.core.interruption import EXIT_INTERRUPTED
from brainit.core.settings import parse_sections
from brainit.core.shards import write_shards
from brainit.data.trials import write_trials

N_IMAGES = 24
SETTINGS = {
    "run": {"threads": 1, "device": "cpu"},
    "features": {"encoder_backbone": "demo_vit"},
    "encoder": {
        "feature_width": 4,
        "voxel_width": 6,
        "adapter_rank": 2,
        "dropout": 0.1,
        "voxels_per_example": 6,
        "batch": 4,
        "epochs": 15,
        "max_shift_px": 1,
    },
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (N_IMAGES, 64, 64, 3), dtype=np.uint8)
    write_shards(tmp_path / "stimuli", iter([pixels]))
    np.save(tmp_path / "betas.npy", rng.normal(size=(N_IMAGES, 8)).astype(np.float16))
    number = np.arange(N_IMAGES)
    columns = {"trial": number, "session": 1, "run": 1, "trial_in_session": number, "repeat": 0}
    columns |= {"nsd_id": number, "is_shared": False, "split": "train"}
    trials = pd.DataFrame(columns)
    trials.loc[number >= 18, "split"] = "val"
    write_trials(tmp_path / "trials.csv", trials)
    return tmp_path


def start(repository: Path, data: Path, out: str) -> subprocess.Popen[str]:
    inputs = ["--betas", f"subj01={data}/betas.npy", "--trials", f"subj01={data}/trials.csv"]
    outputs = ["--encoder", f"{data}/{out}/encoder.safetensors"]
    outputs += ["--history", f"{data}/{out}/history.csv", "--work", str(data / "work" / out)]
    words = [*inputs, "--stimuli", f"{data}/stimuli", "--pool", "all", *outputs]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "brainit.steps.train_encoder", *words),
            *("--code", "digest", "--settings", parse_sections(SETTINGS).model_dump_json()),
        ],
        env={**os.environ, "PYTHONPATH": str(repository / "pipeline_src")},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_signal_ends_the_step_and_the_same_command_continues(
    repository: Path, data: Path
) -> None:
    whole, cut = start(repository, data, "whole"), start(repository, data, "cut")
    assert cut.stderr is not None
    for line in cut.stderr:
        if "median r" in line:
            break
    assert (data / "cut" / ".encoder.safetensors.lock").exists()
    cut.send_signal(signal.SIGTERM)
    said = cut.communicate()[1]
    assert cut.returncode == EXIT_INTERRUPTED, said
    assert "INTERRUPTED: interrupted by SIGTERM after a whole optimizer step" in said
    assert "the same command continues" in said
    assert list((data / "cut").iterdir()) == []
    assert list((data / "work" / "cut").glob("checkpoint_*.json"))
    again = start(repository, data, "cut")
    said = again.communicate()[1]
    assert again.returncode == 0 and "continues in epoch" in said, said
    said = whole.communicate()[1]
    assert whole.returncode == 0, said
    for name in ("encoder.safetensors", "history.csv"):
        assert (data / "cut" / name).read_bytes() == (data / "whole" / name).read_bytes()
    assert not (data / "work" / "cut").exists()
    assert len(list((data / "cut").iterdir())) == 2
