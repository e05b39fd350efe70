"""Choice of runs: refused choices, and jobs that another choice does not rerun."""

import re
from pathlib import Path

import pytest
import yaml

from .conftest import Run, refusal
from .dry_runs import DRY

RUNS = {"nsd": {"evaluated": ["subj01", "subj02"], "transfer": ["subj02"], "connections": 3}}
ALL_THE_SAME = (
    *("simulate_nsd", "download", "prepare_design", "prepare_betas", "prepare_images"),
    *("train_encoder", "cluster_voxels", "train_bit", "train_joint"),
)
FETCHING = ("download", "prepare_betas")
READING_AND_WRITING = ("download", "prepare_design", "prepare_betas", "prepare_images")


def commands(snakemake: Run, folder: Path, overlay: dict[str, object]) -> dict[str, set[str]]:
    """Return the commands of 40 h of subj01 by rule, with `overlay` on top of the demo's values."""
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(overlay))
    files = ("--configfile", "config/demo.yaml", str(path))
    result = snakemake("results/demo/subj01/recon_40h", *DRY, *files)
    text = result.stdout + result.stderr
    assert result.returncode == 0, text
    found: dict[str, set[str]] = {}
    for rule, command in re.findall(r"-m brainit\.steps\.(\w+)( .*)", text):
        found.setdefault(rule, set()).add(command)
    return found


def test_a_choice_of_runs_or_connections_repeats_nothing_made(
    snakemake: Run, tmp_path: Path
) -> None:
    plain, chosen = commands(snakemake, tmp_path, {}), commands(snakemake, tmp_path, RUNS)
    for rule in ALL_THE_SAME:
        told = {re.sub(r" --connections 3\b", " --connections 8", text) for text in chosen[rule]}
        assert (told != chosen[rule]) == (rule in FETCHING), "as a resource, which repeats no job"
        assert plain[rule] == told, rule


def test_threads_are_told_to_steps_that_compute(snakemake: Run, tmp_path: Path) -> None:
    plain = commands(snakemake, tmp_path, {})
    two = commands(snakemake, tmp_path, {"run": {"threads": 2}})
    for rule in READING_AND_WRITING:
        assert plain[rule] == two[rule], rule
    for rule in ("simulate_nsd", "train_encoder"):
        assert plain[rule] != two[rule], rule


@pytest.mark.parametrize(
    ("overlay", "told"),
    [
        (
            {"nsd": {"subjects": ["subj01", "subj02"], "evaluated": ["subj03", "subj01"]}},
            "expected subjects of the pool (subj01, subj02), found subj03",
        ),
        ({"nsd": {"evaluated": []}}, "nsd.evaluated: expected at least one subject, found none"),
        (
            {"nsd": {"transfer": ["subj07"]}},
            "expected subjects of the pool (subj01, subj02, subj03, subj04), found subj07",
        ),
        ({"nsd": {"subjects": ["subj01"]}}, "nsd.transfer: expected another of nsd.subjects"),
        ({"seeds": {"values": [43, 42]}}, "seeds.values: expected other seeds than run.seed"),
        ({"transfer": {"durations": ["40h"]}}, "40h"),
        ({"bit_lowlevel": {"queries_per_layer": [8, 8]}}, "queries_per_layer"),
        ({"bit_semantic": {"calibration": "affine"}}, "calibration"),
    ],
)
def test_choices_that_cannot_be_stop_before_any_job(
    snakemake: Run, tmp_path: Path, overlay: dict[str, object], told: str
) -> None:
    assert told in refusal(snakemake, tmp_path, overlay)
