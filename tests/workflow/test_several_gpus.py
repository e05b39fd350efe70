"""Stage 2 by several processes: its job's requests, and the README's lines for several nodes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.run_folder import link_repository

from .conftest import Run
from .dry_runs import parse_jobs
from .test_slurm_profile import sbatch_line

JOINT_BIT = "results/group/all/main/joint/bit.safetensors"
STAND_INS = {
    "snakemake": 'exec "$REAL_PYTHON" -m snakemake --nolock --dry-run "${@/--dry-run/--forceall}"',
    "sbatch": 'echo "$@" > sbatch.txt; SLURM_JOB_ID=7 bash -c "${!#}"',
    "scontrol": "printf 'node1\\nnode2\\n'",
    "srun": '"$@"',
    "python": "printf '%s\\n' \"$@\" > launched.txt",
}
"""Stand-ins for the called programs: dry runs, and programs that write their arguments."""


def joint_settings(path: Path, **settings: int) -> str:
    path.write_text(yaml.safe_dump({"joint": settings}))
    return str(path)


def test_stage_2_asks_for_a_gpu_for_each_process(snakemake: Run, tmp_path: Path) -> None:
    config = joint_settings(tmp_path / "joint.yaml", processes=4)
    words = ("--forceall", "--profile", "slurm", "--cores", "32", "--configfile", config)
    result = snakemake("--dry-run", "--nolock", *words, "--", JOINT_BIT)
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    found = {block["rule"]: block for block in parse_jobs(said)}
    line = sbatch_line(found["train_joint"])
    assert " --gpus=4" in line and " --cpus-per-task=32" in line and " --mem 256000" in line, line
    assert " --gpus=1" in sbatch_line(found["train_bit"])
    torchrun = "-m torch.distributed.run --standalone --shutdown-timeout 240 --nproc-per-node 4"
    assert re.findall("python (.*) -m brainit.steps.train_joint", said) == [torchrun]


def test_processes_that_do_not_share_the_passes_evenly_are_refused(
    snakemake: Run, tmp_path: Path
) -> None:
    config = joint_settings(tmp_path / "joint.yaml", processes=3)
    result = snakemake("--dry-run", "--nolock", "--configfile", config, "--", JOINT_BIT)
    assert result.returncode != 0
    told = "joint.processes: expected a divisor of joint.accumulation, 4, found 3. Fix:"
    assert told in result.stdout + result.stderr


@pytest.fixture
def launched(repository: Path, tmp_path: Path) -> Path:
    """Run the README's lines for several nodes with the stand-ins; return the folder."""
    text = (repository / "profiles/slurm/README.md").read_text()
    block = re.search(r"```bash\n(bit=results/.*?)```", text, re.DOTALL)
    assert block
    joint_settings(tmp_path / "mine.yaml", processes=8, accumulation=8, batch=8)
    link_repository(repository, tmp_path)
    (tmp_path / "bin").mkdir()
    for name, script in STAND_INS.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/bash\n{script}\n")
        program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    environment |= {"REAL_PYTHON": sys.executable}
    lines = "set -euo pipefail\n" + block[1]
    result = subprocess.run(
        ["bash", "-c", lines], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return tmp_path


def test_lines_for_several_nodes_start_torchrun_on_each(launched: Path) -> None:
    from torch.distributed.run import get_args_parser

    asked = (launched / "sbatch.txt").read_text()
    assert "--nodes 2 --ntasks-per-node 1 --gpus-per-node 4" in asked
    words = (launched / "launched.txt").read_text().splitlines()
    assert words[:2] == ["-m", "torch.distributed.run"]
    told = get_args_parser().parse_args(words[2:])
    assert (told.nnodes, told.nproc_per_node) == ("2", "4") and not told.standalone
    assert (told.rdzv_backend, told.rdzv_endpoint, told.rdzv_id) == ("c10d", "node1:29500", "7")
    assert told.module and told.training_script == "brainit.steps.train_joint"
    flags = told.training_script_args
    settings = json.loads(flags[flags.index("--settings") + 1])
    assert settings["joint"]["processes"] == 8 and flags[-2] == "--settings"
    assert flags[flags.index("--bit") + 1] == JOINT_BIT
