"""Stage 2 by two processes under torchrun, as in the workflow: interrupted, then started again."""

import signal
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import torch
from tests.step_process import start_module, wait_for, write_small_subject

from brainit.core.seeds import seeded_init
from brainit.core.settings import BitSettings, parse_sections
from brainit.models.brain_transformer import BrainInteractionTransformer, save_bit

N_IMAGES, N_VOXELS = 24, 8
BIT = {"width": 8, "n_heads": 2, "n_blocks": 1}
SETTINGS = {
    "run": {"threads": 1, "device": "cpu"},
    "features": {"generator": "demo_unclip"},
    "bit": BIT,
    "bit_semantic": {"voxels_per_example": 6},
    "joint": {"batch": 2, "accumulation": 4, "processes": 2, "epochs": 6, "warmup_steps": 2},
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_small_subject(tmp_path, N_IMAGES, n_train=22, n_voxels=N_VOXELS)
    with seeded_init(0, "bit"):
        model = BrainInteractionTransformer(
            voxel_cluster=torch.arange(N_VOXELS) % 3,
            n_clusters=3,
            n_queries=64,
            out_width=96,
            **BIT,
        )
    base, sizes = tmp_path / "base.safetensors", BitSettings(**BIT)
    save_bit(base, model, subjects={"subj01": N_VOXELS}, kind="semantic", settings=sizes, seed=0)
    return tmp_path


def start(repository: Path, data: Path) -> subprocess.Popen[str]:
    """Start the step with the command line of the workflow."""
    torchrun = "torch.distributed.run --standalone --shutdown-timeout 240 --nproc-per-node 2"
    names = ("bit", "history", "generator")
    outputs = [word for name in names for word in (f"--{name}", str(data / "out" / name))]
    inputs = ["--betas", f"subj01={data}/betas.npy", "--trials", f"subj01={data}/trials.csv"]
    inputs += ["--base-bit", f"{data}/base.safetensors", "--stimuli", f"{data}/stimuli"]
    settings = parse_sections(SETTINGS).model_dump_json()
    rest = ["--duration", "40h", "--work", f"{data}/work", "--settings", settings]
    words = [*torchrun.split(), "-m", "brainit.steps.train_joint", *inputs, *outputs, *rest]
    return start_module(repository, *words)


def test_a_signal_to_torchrun_stops_both_and_the_same_command_continues(
    repository: Path, data: Path
) -> None:
    cut = start(repository, data)
    wait_for(cut, "joint: epoch 2")
    assert [path.name for path in (data / "out").iterdir()] == [".bit.lock"]
    cut.send_signal(signal.SIGTERM)
    said = cut.communicate(timeout=120)[1]
    assert cut.returncode != 0
    assert said.count("INTERRUPTED: interrupted by SIGTERM after a whole optimizer step") == 2, said
    assert list((data / "out").iterdir()) == []
    assert list((data / "work").glob("checkpoint_*.json"))
    again = start(repository, data)
    said = again.communicate(timeout=120)[1]
    assert again.returncode == 0, said
    assert said.count("joint: continues in epoch") == 1, "only the first process logs it"
    assert {path.name for path in (data / "out").iterdir()} == {"bit", "history", "generator"}
    assert len(pd.read_csv(data / "out" / "history")) == 6
    assert not (data / "work").exists()
