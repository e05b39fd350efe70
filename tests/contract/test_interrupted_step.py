"""A real signal to a real step: it ends with status 75, and the same command continues it."""

import signal
import subprocess
from pathlib import Path

import pytest
from tests.step_process import start_module, wait_for, write_small_subject

from brainit.core.interruption import EXIT_INTERRUPTED
from brainit.core.settings import parse_sections

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
    write_small_subject(tmp_path, N_IMAGES, n_train=18, n_voxels=8)
    return tmp_path


def start(repository: Path, data: Path, out: str) -> subprocess.Popen[str]:
    inputs = ["--betas", f"subj01={data}/betas.npy", "--trials", f"subj01={data}/trials.csv"]
    outputs = ["--encoder", f"{data}/{out}/encoder.safetensors"]
    outputs += ["--history", f"{data}/{out}/history.csv", "--work", str(data / "work" / out)]
    words = [*inputs, "--stimuli", f"{data}/stimuli", "--pool", "all", *outputs]
    words += ["--code", "digest", "--settings", parse_sections(SETTINGS).model_dump_json()]
    return start_module(repository, "brainit.steps.train_encoder", *words)


def test_a_signal_ends_the_step_and_the_same_command_continues(
    repository: Path, data: Path
) -> None:
    whole, cut = start(repository, data, "whole"), start(repository, data, "cut")
    wait_for(cut, "val_median_r")
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
