"""The whole smallest run, killed and out of disk at random moments, ends as an undisturbed one.

The one command starts it again each time: no lock is removed by hand. It takes 16 minutes on two
cores, and root for disks of its own.
"""

import os
import random
from pathlib import Path

import pytest

from tests.e2e.disturbed_run import DisturbedRun, differences

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "BRAINIT_FAULTS" not in os.environ or os.geteuid() != 0,
        reason="16 minutes as root; set BRAINIT_FAULTS=1",
    ),
]
N_KILLS, N_FULL_DISKS, MEAN_S = 30, 10, 12.0


def test_kills_and_full_disks_change_nothing(first: Path, repository: Path, tmp_path: Path) -> None:
    draw = random.Random(0)
    waiting = ["kill"] * N_KILLS + ["results", "whole"] * (N_FULL_DISKS // 2)
    draw.shuffle(waiting)
    n_runs = 0
    while waiting:
        run = DisturbedRun(repository, tmp_path / f"disturbed{n_runs}", draw, MEAN_S)
        with run.disks():
            places = {"results": run.root / "results", "whole": run.root}
            while waiting:
                kind = waiting[-1]
                if not (run.kill() if kind == "kill" else run.fill(places[kind])):
                    break  # it ended before: the next run gets the other moments
                waiting.pop()
            run.finish()
            assert differences(first, run.root) == []
        n_runs += 1
