"""Every command of every Markdown page is run, or dry-run, or listed with the reason why not.

`make` says what it would do, `snakemake` makes a dry run in a folder without results, `pytest`
reads its flags and folders, `brainit` its arguments; what is cheap runs. A command that none of
these takes, or a new program, fails until it has its place here.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from brainit.commands.program import build_parser, run
from brainit.core.settings import Settings, parse_sections
from tests.lab_folder import write_lab_folder
from tests.model_files import write_models

from .conftest import DryRun, Run
from .dry_runs import make_run_folder, parse_jobs
from .markdown_pages import REPOSITORY, anchors, blocks, commands, links, pages

README = REPOSITORY / "README.md"
WHOLE_BLOCKS = {"bit=results/group/all/main/joint/bit.safetensors": "test_several_gpus.py"}
"""First line of a block that another test of this folder runs as one script -> that test."""
NOT_RUN = {
    "export XDG_CACHE_HOME=/a/folder": "the reader's own shell does it",
    "source .venv/bin/activate": "each command here runs in that environment",
    "pip install -e path/to/brain-it": "set-up does it, with a package index",
    "pip install 'brainit[tensorboard]'": "needs an index; test_event_files.py has it",
    "tensorboard --logdir results": "serves pages until it is stopped",
    "snakedeploy deploy-workflow URL . --tag TAG": "it clones a published release",
    "apptainer build brainit.sif envs/brainit.def": "needs apptainer and a registry of images",
    "apptainer exec --nv brainit.sif python -m brainit.steps.evaluate --help": "needs apptainer",
    "snakemake --profile slurm all --software-deployment-method conda": (
        "needs conda, for its dry run too"
    ),
    "snakemake all --touch": "needs results; test_keep_finished_work.py runs it on some",
    "snakemake all --cores 8 --configfile mine.yaml --report report.zip": (
        "needs a finished run; tests/e2e/test_demo_bytes.py packs one"
    ),
    "snakemake TARGET --cores 8": "a pattern; the targets of its table are dry-run below",
}
"""Command -> why it is neither run nor dry-run here."""
TESTS_OF_BRAINIT = {
    "check-subject": "unit/data/test_lab_check.py",
    "costs": "unit/commands/test_costs.py",
    "doctor": "unit/commands/test_doctor.py",
    "export-maps": "unit/maps/test_export.py",
    "export-models": "unit/commands/test_export_models.py",
    "imagery-table": "unit/commands/test_imagery_table.py",
    "import-authors": "unit/models/test_authors_import.py",
    "import-subject": "unit/data/test_lab_formats.py",
    "models": "unit/commands/test_models_push.py",
    "plan": "unit/commands/test_plan.py",
    "rehearse": "unit/commands/test_rehearse.py",
    "schema": "contract/test_settings.py",
    "seeds": "unit/evaluation/test_across_seeds.py",
    "status": "unit/commands/test_status.py",
    "weights": "unit/features/test_weights_fetch.py",
}
"""Sub-command -> the test that runs it; here it reads its arguments."""
EXAMPLES = {"<rule>": "evaluate", "STEP": "train_bit"}
"""Placeholder of a page -> one of what it stands for."""
PYTHON_RUN_BY = {
    "README.md": "e2e/test_python_door.py",
    "config/python.md": "e2e/test_python_door.py",
}
MOST_LINES, MOST_IMAGE_BYTES = 120, 400_000


def page_name(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def distinct_commands() -> dict[str, list[str]]:
    """Return each command and the pages that name it; a dry run counts as what it would do."""
    found: dict[str, list[str]] = {}
    for page in pages():
        for command in commands(page, tuple(WHOLE_BLOCKS)):
            found.setdefault(command.replace(" --dry-run", ""), []).append(page_name(page))
    return found


COMMANDS = distinct_commands()
CHECKED = [command for command in COMMANDS if command not in NOT_RUN]


def of_program(name: str) -> list[str]:
    return [command for command in CHECKED if command.split()[0] == name]


def finished(words: list[str], folder: Path) -> str:
    """Run a program in the environment of the tests; return what it prints."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    result = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder to run in, with all that the pages' commands name."""
    root = make_run_folder(REPOSITORY, tmp_path_factory.mktemp("pages") / "run")
    (root / "mine.yaml").write_text("nsd: {accept_terms: true}\n")
    write_lab_folder(root / "path/to/folder")
    (root / "path/to/brain-it").symlink_to(REPOSITORY)
    write_models(write_lab_folder(root / "FOLDER"))
    (root / "FOLDER/config.yaml").write_text("nsd: {subjects: [subj01, subj02, subj05, subj07]}\n")
    return root


def test_every_command_has_its_check() -> None:
    checked = ("make", "snakemake", "brainit", "pytest", "python")
    unknown = {c: COMMANDS[c] for c in CHECKED if c.split()[0] not in checked}
    assert not unknown, "add a check of the program, or the reason why it is not run, to this file"
    assert not set(NOT_RUN) - set(COMMANDS), "no page names these commands any more"
    firsts = {block.splitlines()[0] for page in pages() for _, block in blocks(page)}
    assert set(WHOLE_BLOCKS) <= firsts


@pytest.mark.parametrize("command", of_program("make"))
def test_make_knows_its_targets(command: str) -> None:
    assert finished([*shlex.split(command), "--dry-run"], REPOSITORY)


@pytest.mark.parametrize("command", of_program("snakemake"))
def test_snakemake_would_run(command: str, snakemake: Run, folder: Path) -> None:
    result = snakemake("--dry-run", *shlex.split(command)[1:], cwd=folder)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert parse_jobs(result.stdout)


def test_every_target_of_the_readme_is_made(dry_run: DryRun) -> None:
    (table,) = re.findall(r"^\| target \|.*\n(?:\|.*\n)+", README.read_text(), re.MULTILINE)
    targets = re.findall(r"^\| `(?!make )([^`]+)` \|", table, re.MULTILINE)
    assert {"all", "everything", "results/subj01/recon_1h_lowlevel"} <= set(targets)
    for target in targets:
        assert parse_jobs(dry_run(target)), target


@pytest.mark.parametrize("command", of_program("brainit"))
def test_brainit_reads_its_arguments(command: str, folder: Path) -> None:
    words = shlex.split(command)[1:]
    assert (REPOSITORY / "tests" / TESTS_OF_BRAINIT[words[0]]).is_file()
    if len(words) == 1 and words[0] not in ("plan", "status", "doctor", "schema"):
        with pytest.raises(SystemExit) as ended:  # the sub-command alone, in the text
            build_parser().parse_args([*words, "--help"])
        assert ended.value.code == 0
    else:
        build_parser().parse_args(words)


def test_the_folders_of_the_pages_are_valid_subjects(folder: Path) -> None:
    run(["check-subject", str(folder / "FOLDER")])


@pytest.mark.parametrize("command", of_program("pytest"))
def test_pytest_knows_its_flags_and_folders(command: str) -> None:
    words = [sys.executable, "-m", *shlex.split(command), "--collect-only", "--ignore-glob=*"]
    result = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, result.stdout + result.stderr
    markers = re.findall(r" -m (\w+)", command)
    assert all(f'"{name}: ' in (REPOSITORY / "pyproject.toml").read_text() for name in markers)


@pytest.mark.parametrize("command", of_program("python"))
def test_python_modules_take_their_arguments(command: str) -> None:
    for placeholder, example in EXAMPLES.items():
        command = command.replace(placeholder, example)
    words = shlex.split(command.replace("'", ""))
    assert finished([sys.executable, *words[1:], "--help"], REPOSITORY)


def test_every_block_says_its_language_and_python_is_run(folder: Path) -> None:
    for page in pages():
        for language, block in blocks(page):
            assert language in {"bash", "python", "snakemake", "text", "yaml"}, (page, block)
            if language == "python" and page_name(page) != "config/lab_subject.md":
                assert (REPOSITORY / "tests" / PYTHON_RUN_BY[page_name(page)]).is_file()


def test_yaml_blocks_are_settings_or_variables_of_the_profile() -> None:
    profile = (REPOSITORY / "profiles/slurm/config.yaml").read_text()
    for page in pages():
        for language, block in blocks(page):
            if language != "yaml":
                continue
            content = yaml.safe_load(block)
            if set(content) <= set(Settings.model_fields):
                parse_sections(content)
            else:
                unknown = [name for name in content if not re.search(rf"\b{name}\b", profile)]
                assert page_name(page) == "profiles/slurm/README.md" and not unknown


def test_the_module_of_another_workflow_is_read(
    snakemake: Run, folder: Path, tmp_path: Path
) -> None:
    (block,) = [b for page in pages() for language, b in blocks(page) if language == "snakemake"]
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow/Snakefile").write_text(block.replace("path/to/brain-it", str(REPOSITORY)))
    (tmp_path / "config").symlink_to(REPOSITORY / "config")
    words = ("--dry-run", "--cores", "1", "results/subj01/design/trials.csv")
    result = snakemake(*words, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_lines_that_write_a_subject_from_volumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nibabel as nib

    found = [b for kind, b in blocks(REPOSITORY / "config/lab_subject.md") if kind == "python"]
    (code,) = [block for block in found if "glmsingle" not in block]  # not installed here
    rng = np.random.default_rng(0)
    mask, volumes = rng.random((3, 4, 5)) > 0.5, rng.normal(size=(3, 4, 5, 6)).astype(np.float32)
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), tmp_path / "mask.nii.gz")
    nib.save(nib.Nifti1Image(volumes, affine), tmp_path / "betas.nii.gz")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "config/lab_subject.md", "exec"), {})
    betas = np.load("betas.npy")
    voxels = [(x, y, z) for x in range(3) for y in range(4) for z in range(5) if mask[x, y, z]]
    header, *lines = Path("voxels.csv").read_text().splitlines()
    assert betas.shape == (6, len(voxels)) and header == "x_mm,y_mm,z_mm"
    for column, (x, y, z) in enumerate(voxels):
        np.testing.assert_array_equal(betas[:, column], volumes[x, y, z])
        found = [float(value) for value in lines[column].split(",")]
        assert found == [2.0 * x, 2.0 * y, 3.0 * z]


def test_links_lead_to_pages_and_headings() -> None:
    for page in pages():
        for target in links(page):
            name, _, anchor = target.partition("#")
            linked = (page.parent / name).resolve() if name else page
            assert linked.exists(), f"{page_name(page)}: {target}"
            if anchor:
                assert anchor in anchors(linked), f"{page_name(page)}: {target}"


def test_the_readme_is_one_page() -> None:
    assert len(README.read_text().splitlines()) <= MOST_LINES
    images = [README.parent / name for name in links(README) if name.endswith((".jpg", ".png"))]
    assert images and all(path.stat().st_size < MOST_IMAGE_BYTES for path in images)
