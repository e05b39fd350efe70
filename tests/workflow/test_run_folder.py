"""Files in the repository's `results/` change nothing for the tests' runs."""

import shutil
from pathlib import Path

import pytest

from tests.model_files import write_models
from tests.run_folder import link_repository

from .conftest import DryRun, Run
from .dry_runs import DEMO, DRY, make_run_folder, parse_jobs, pinned_text

TARGET = "results/demo/subj01/recon_40h"
NOT_FORCED = tuple(word for word in DRY if word != "--forceall")


@pytest.fixture(scope="module")
def used_repository(
    repository: Path, dry_run: DryRun, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a repository in which the demo has run: stand-ins of all its outputs."""
    root = tmp_path_factory.mktemp("clone") / "repository"
    link_repository(repository, root)
    for job in parse_jobs(dry_run("all", *DEMO)):
        for path in (root / name for name in job["output"]):
            if path.suffix:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            else:
                path.mkdir(parents=True, exist_ok=True)
    (root / ".snakemake").mkdir()
    return root


def test_a_run_folder_has_the_code_and_no_results(used_repository: Path, tmp_path: Path) -> None:
    root = make_run_folder(used_repository, tmp_path / "run")
    assert (root / "workflow" / "Snakefile").is_file()
    assert (used_repository / "results" / "demo").is_dir()
    assert not (root / "results").exists() and not (root / ".snakemake").exists()


def test_dry_runs_are_the_same_beside_a_demo_that_has_run(
    used_repository: Path, snakemake: Run, dry_run: DryRun, tmp_path: Path
) -> None:
    root = make_run_folder(used_repository, tmp_path / "run")
    said = snakemake("all", *NOT_FORCED, *DEMO, cwd=root).stdout
    assert pinned_text(said) == pinned_text(dry_run("all", *DEMO))
    there = snakemake("all", *NOT_FORCED, *DEMO, cwd=used_repository)
    assert there.returncode == 0, there.stdout + there.stderr
    assert len(parse_jobs(there.stdout)) != len(parse_jobs(said)), "the stand-ins count there"


def test_a_missing_model_is_named_beside_a_demo_that_has_run(
    used_repository: Path, snakemake: Run, tmp_path: Path
) -> None:
    folder = write_models(tmp_path / "models")
    shutil.rmtree(folder / "joint")
    words = (TARGET, *DEMO, "--config", f"models={folder}", *DRY)
    result = snakemake(*words, cwd=make_run_folder(used_repository, tmp_path / "run"))
    assert result.returncode != 0
    assert f"{folder}/joint/bit.safetensors" in result.stdout + result.stderr
    assert snakemake(*words, cwd=used_repository).returncode == 0, "it is not missed there"
