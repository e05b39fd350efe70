"""Memory and open files of a training of 2,000 steps and of an evaluation of 1,000 images."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.long_runs import N_EVALUATIONS

MOST_GROWTH = 1.05
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
"""glibc then returns freed arrays to the system, and resident memory is memory in use."""
LONG = pytest.mark.skipif(
    "BRAINIT_LONG_RUNS" not in os.environ, reason="minutes on a CPU; set BRAINIT_LONG_RUNS=1"
)


def curve(repository: Path, kind: str) -> np.ndarray:
    """Return what is done, resident MB and open files, as the run went on."""
    command = [sys.executable, "-m", "tests.long_runs", kind]
    environment = {**os.environ, "PYTHONPATH": f"{repository / 'pipeline_src'}:{repository}"}
    environment |= GIVEN_BACK
    done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return np.array([json.loads(line) for line in done.stdout.splitlines()])


@LONG
def test_a_training_of_2000_steps_does_not_grow(repository: Path) -> None:
    done, resident_mb, n_files = curve(repository, "training").T
    assert done[-1] >= 2000 and len(done) >= 40
    fifth = len(done) // 5
    assert resident_mb[-fifth:].max() <= MOST_GROWTH * resident_mb[fifth : 2 * fifth].min()
    assert n_files[-fifth:].max() <= n_files[fifth : 2 * fifth].max()


@LONG
def test_an_evaluation_of_1000_images_does_not_grow(repository: Path) -> None:
    """Over the batches of a pass, and from one evaluation by the process to the next."""
    _, resident_mb, n_files = curve(repository, "evaluation").T
    passes = resident_mb.reshape(N_EVALUATIONS, 2, -1)  # reconstructions and targets, by batches
    assert passes.shape[-1] == 16, "64 images each"
    assert (passes[..., -1] <= MOST_GROWTH * passes[..., 2]).all()
    assert passes[-1].max() <= MOST_GROWTH * passes[1].max()
    assert n_files[-1] <= n_files[0]
