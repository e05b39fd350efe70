"""The workflow used from other folders, from another workflow, and without its package."""

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Run
from .dry_runs import parse_jobs

TARGET = "results/subj01/design/trials.csv"
DEMO_TARGET = "results/demo/group/all/main/encoder/encoder.safetensors"
WORDS = ("--dry-run", "--cores", "1", "--nolock")
MODULE = """
module brainit:
    snakefile: "{root}/workflow/Snakefile"
    config: config

use rule * from brainit{names}
"""


def inputs_of(result: "subprocess.CompletedProcess[str]", rule: str) -> list[str]:
    assert result.returncode == 0, result.stdout + result.stderr
    return next(job["input"] for job in parse_jobs(result.stdout) if job["rule"] == rule)


def test_a_snakefile_elsewhere_reads_the_shipped_configuration(
    snakemake: Run, repository: Path, tmp_path: Path
) -> None:
    result = snakemake("-s", f"{repository}/workflow/Snakefile", *WORDS, TARGET, cwd=tmp_path)
    assert inputs_of(result, "prepare_design") == ["results/.store/nsd"]


@pytest.mark.parametrize("way", ["--directory", "with a space"])
def test_demo_networks_are_found_from_elsewhere(
    snakemake: Run, repository: Path, run_folder: Path, tmp_path: Path, way: str
) -> None:
    folder = tmp_path / "of my own"
    folder.mkdir()
    demo = ("--configfile", f"{repository}/config/demo.yaml", "--")
    if way == "--directory":
        result = snakemake("--directory", str(folder), *WORDS, *demo, DEMO_TARGET)
    else:
        (folder / "workflow").symlink_to(repository / "workflow")
        result = snakemake(*WORDS, *demo, DEMO_TARGET, cwd=folder)
    *_, network = inputs_of(result, "train_encoder")
    assert (folder / network).is_file() and network.endswith("demo_vit.safetensors")


@pytest.mark.parametrize(("names", "prefix"), [("", ""), (" as brainit_*", "brainit_")])
def test_the_workflow_as_a_module(
    snakemake: Run, repository: Path, tmp_path: Path, names: str, prefix: str
) -> None:
    configfile = f'configfile: "{repository}/config/config.yaml"\n'
    text = configfile + MODULE.format(root=repository, names=names)
    (tmp_path / "Snakefile").write_text(text)
    result = snakemake(*WORDS, TARGET, cwd=tmp_path)
    assert inputs_of(result, f"{prefix}prepare_design") == ["results/.store/nsd"]


@pytest.mark.parametrize(
    ("config", "missing"),
    [("", ["ablations", "lab", "run"]), ("run: {seed: 3}", ["lab", "nsd", "run.threads"])],
)
def test_a_missing_or_partial_configuration_gets_one_message(
    snakemake: Run, repository: Path, tmp_path: Path, config: str, missing: list[str]
) -> None:
    (tmp_path / "own.yaml").write_text(config)
    configfile = 'configfile: "own.yaml"\n' if config else ""
    text = configfile + MODULE.format(root=repository, names="")
    (tmp_path / "Snakefile").write_text(text)
    result = snakemake(*WORDS, "all", cwd=tmp_path)
    said = result.stdout + result.stderr
    assert result.returncode != 0 and "Traceback" not in said and "KeyError" not in said
    (line,) = [line for line in said.splitlines() if "config/config.yaml" in line]
    named = line.split("found no ")[1].split(". Fix")[0].split(", ")
    assert set(missing) <= set(named) and "run.seed" not in named


def test_a_python_without_the_package_is_told_how_to_get_it(repository: Path) -> None:
    script = (
        "import sys; from importlib.abc import MetaPathFinder\n"
        "class Hide(MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name.split('.')[0] == 'brainit': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hide())\n"
        "from snakemake.cli import main; main(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", script, *WORDS, "all"]
    result = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    said = result.stdout + result.stderr
    assert result.returncode != 0 and "Traceback" not in said
    assert sys.executable in said and "brainit" in said and "pip install" in said
