"""`snakemake --profile slurm all` through a real SLURM, against the same run without it."""

from collections import Counter
from pathlib import Path

import pytest

from tests.result_digests import digests

from .runs import accounted, finish, make_root, slurm_jobs, snakemake, submit

pytestmark = [pytest.mark.slurm, pytest.mark.slurm_slow]

TWO_PROCESSES = {"batch": 8, "accumulation": 2, "processes": 2}


def test_whole_dag_gives_the_results_of_a_local_run(
    cluster: Path, accounting: None, repository: Path, tmp_path: Path
) -> None:
    """Every file, byte for byte. Stage 2 is trained by two processes, its job has two GPUs."""
    here, there = tmp_path / "here", tmp_path / "there"
    for root in (here, there):
        make_root(root, repository, joint=TWO_PROCESSES)
    finish(snakemake(here, "--cores", "2", "--", "all"), here, 3600.0)
    before = set(slurm_jobs())
    text = finish(submit(there, "all"), there, 7200.0)
    one, two = digests(here), digests(there)
    assert len(one) > 100
    assert {name for name in one.keys() | two.keys() if one.get(name) != two.get(name)} == set()

    n_submitted = text.count("has been submitted with SLURM jobid")
    first = max((int(number) for number in before), default=0) + 1
    rows = accounted([str(number) for number in range(first, first + n_submitted)])
    assert {row["State"] for row in rows} == {"COMPLETED"} and len(rows) == n_submitted
    gpus = Counter(part for row in rows for part in row["AllocTRES"].split(",") if "gpu" in part)
    n_joint = text.count("\nrule train_joint:")
    assert n_joint > 0 and gpus == {"gres/gpu=1": n_submitted - n_joint, "gres/gpu=2": n_joint}
