"""Every job of the shipped configurations, as the files in `pinned/` have it; and their format."""

import re

import pytest

from .conftest import DryRun
from .dry_runs import FOLDER, PINNED, UPDATE, difference, parse_jobs, pinned_text

RULE = """
rule train_net:
    input: results/subj01/betas.npy, results/subj02/betas.npy, results/.store/net
    output: results/group/{pool}/{variant}/net
    log: results/logs/train_net/{pool}_{variant}.log
    jobid: 7
    reason: Forced execution
    wildcards: pool={pool}, variant={variant}
    threads: 8
    resources: tmpdir=/scratch/me, gpu=1, mem_mb=32000
Shell command: python -m brainit.steps.train_net --betas results/subj01/betas.npy --pool {pool} \
--code 0123456789abcdef --settings '{{"net": {{"lr": 0.1}}}}' &> results/logs/x.log
"""
ONE, TWO = (RULE.format(pool="all", variant=name) for name in ("main", "k8"))
TEXT = """\
rule train_net (2)
  settings 1
    net: {"lr": 0.1}
  jobs 1
    pool=all, variant=k8
    pool=all, variant=main
  input
    results/<s>/betas.npy  <s>: subj01 subj02
    results/.store/net
  output
    results/group/{pool}/{variant}/net
  log: results/logs/{rule}/{pool}_{variant}.log
  resources: gpu=1, mem_mb=32000, tmpdir=<tmp>
  threads: 8
  command
    python -m brainit.steps.{rule}
    --betas results/subj01/betas.npy
    --pool {pool}
    --code <code>
    --settings <settings 1>
    &> results/logs/x.log

temporary outputs
    results/a
    results/b
"""
LAST = "Would remove temporary output results/{}\n"


@pytest.mark.parametrize("name", PINNED)
def test_a_dry_run_says_what_is_pinned(name: str, dry_run: DryRun) -> None:
    if found := difference(name, dry_run(*PINNED[name])):
        told = f"{found}\n\nIf this is meant, run `{UPDATE}` and review its diff."
        pytest.fail(told, pytrace=False)


def test_no_other_file_is_pinned() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.txt" for name in PINNED}


def test_jobs_are_pinned_in_no_order_of_time() -> None:
    a, b = LAST.format("a"), LAST.format("b")
    later = TWO.replace("jobid: 7", "jobid: 9").replace("/scratch/me", "/tmp")
    assert pinned_text(ONE + a + TWO + b) == TEXT == pinned_text(later + b + ONE + a)


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("rule train_net:", "rule train_it:"),
        ("mem_mb=32000", "mem_mb=64000"),
        ("subj02/betas.npy", "subj03/betas.npy"),
        ('"lr": 0.1', '"lr": 0.2'),
        ("--pool all", "--pool other"),
        ("threads: 8", "threads: 4"),
    ],
)
def test_what_one_job_says_otherwise_is_seen(said: str, instead: str) -> None:
    """The job is then no longer like the others of its rule."""
    assert said in ONE
    changed = pinned_text(ONE.replace(said, instead) + TWO)
    before = pinned_text(ONE + TWO)
    assert changed != before
    assert len(changed.splitlines()) > len(before.splitlines())


def test_another_name_of_a_rule_is_one_line() -> None:
    before = pinned_text(ONE + TWO)
    after = pinned_text((ONE + TWO).replace("train_net", "train_it"))
    assert after == before.replace("rule train_net", "rule train_it")


def test_the_digest_of_code_alone_is_left_out() -> None:
    assert pinned_text(ONE.replace("0123456789abcdef", "fedcba9876543210")) == pinned_text(ONE)
    assert pinned_text(ONE.replace("--code 0", "--seal 0")) != pinned_text(ONE)


def test_all_jobs_of_a_dry_run_are_parsed(dry_run: DryRun) -> None:
    text = dry_run("everything")
    jobs = parse_jobs(text)
    assert len(jobs) == len(re.findall(r"^(?:local)?rule ", text, flags=re.MULTILINE)) > 400
    assert all({"command", "log", "benchmark"} <= set(job) for job in jobs if job["output"])
    assert {tuple(job["output"]) for job in jobs if "command" not in job} == {()}
