"""The smallest end-to-end run, to the tables.

A second run does nothing; a clean second run gives the same bytes; without the truth everything but
checks and figures is the same; a subject of the lab's own is decoded from its folder alone.
"""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import yaml

from brainit.data.recons import read_recons
from tests.e2e.tiny_run import configs, prepare, run
from tests.lab_folder import write_lab_folder
from tests.result_digests import digests
from tests.workflow.dry_runs import job_counts

pytestmark = pytest.mark.slow

NOT_REPEATED = ("checks.csv", "figures", "report.html", "settings.json", "truth")
"""What the second run does not make, beside the truth itself."""


def test_run_reaches_the_table(first: Path) -> None:
    table = (first / "results/tables/table1/table1.md").read_text()
    assert "simulation" in table.lower()
    montage = first / "results/subj01/recon_1h/montage.png"
    assert montage.stat().st_size > 1000
    assert len(list((first / "results/subj01/recon_40h/images").glob("*.png"))) == 8


def test_second_run_does_nothing(first: Path, repository: Path) -> None:
    result = run(repository, first, "all", "--dry-run")
    assert "Nothing to be done" in result.stdout + result.stderr


def test_snakemake_packs_tables_montages_figures_and_the_report(
    first: Path, repository: Path
) -> None:
    result = run(repository, first, "all", "--report", "packed.zip")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    with zipfile.ZipFile(first / "packed.zip") as packed:
        names = [Path(name).name for name in packed.namelist()]
    assert {"table1.html", "data_scaling.png", "report.html"} <= set(names)
    assert names.count("montage.png") > 2, "of each run, and the figure of all"


def test_deleted_tables_come_back_with_the_same_bytes(first: Path, repository: Path) -> None:
    """From the stored metrics of every image alone."""
    before = digests(first)
    shutil.rmtree(first / "results/tables")
    result = run(repository, first, "tables")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert set(re.findall(r"^(?:local)?rule (\w+):", result.stdout + result.stderr, re.M)) == {
        "make_table",
        "tables",
    }
    assert digests(first) == before


def test_the_plan_foretells_the_disk(first: Path, repository: Path) -> None:
    """Within a tenth of the bytes that the run has written (linked files once, work files gone)."""
    root = first.parent / "planned"
    files, environment = prepare(repository, root)
    code = "import sys; from brainit.commands.program import run; run(sys.argv[1:])"
    command = [sys.executable, "-c", code, "plan", "all", "--json", "--configfile", *files]
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    plan = json.loads(result.stdout)
    written = {}
    for path in (first / "results").rglob("*"):
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            written[status.st_ino] = status.st_size
    assert plan["peak_disk_bytes"] == pytest.approx(sum(written.values()), rel=0.1)
    assert plan["jobs"]["simulate_nsd"] == 1 and plan["downloads"] == []


def test_one_setting_reruns_what_depends_on_it(first: Path, repository: Path) -> None:
    edit = first.parent / "edit.yaml"
    edit.write_text(yaml.safe_dump({"dip": {"iterations": 4}}))
    result = run(
        repository,
        first,
        "all",
        "--dry-run",
        "--configfile",
        *configs(repository, first),
        str(edit),
    )
    assert set(job_counts(result.stdout + result.stderr)) == {
        *("reconstruct_lowlevel", "reconstruct_fused", "gather_reconstructions", "evaluate"),
        *("check_results", "make_table", "make_figures", "make_report", "all", "total"),
    }


def test_clean_second_run_gives_the_same_bytes_even_without_the_truth(
    first: Path, repository: Path
) -> None:
    second = first.parent / "second"
    made = run(repository, second, "results/.store/simulated/card.json")
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    truth = second / "results/.store/simulated/truth"
    truth.rename(second / "truth")
    folders = [path.parent for path in first.glob("results/subj*/recon_*/recons.h5")]
    recons = [str(folder.relative_to(first)) for folder in folders]
    blind = [recon for recon in recons if "place_only" not in recon]
    assert len(blind) == len(recons) - 1 > 1, "one oracle reads the truth"
    ceilings = [f"results/subj0{k}/noise_ceiling/summary.csv" for k in (1, 2)]
    result = run(repository, second, *blind, *ceilings)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    (second / "truth").rename(truth)
    result = run(repository, second, "tables")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    one, two = digests(first), digests(second)
    expected = {k: v for k, v in one.items() if not set(k.split("/")) & set(NOT_REPEATED)}
    assert {k for k in expected if expected[k] != two.get(k)} == set()
    assert any(key.endswith("recons.h5") for key in expected)


def test_lab_subject_is_decoded_from_its_folder_alone(first: Path, repository: Path) -> None:
    """On top of the models that the run has made; 24 trials of 6 voxels, 4 test images."""
    folder = write_lab_folder(first.parent / "lab_folder")
    named = ("--config", f'lab={{"labsub":"{folder}"}}')
    scores = "results/labsub/metrics/1h_fused_summary.csv"
    result = run(repository, first, "results/labsub/recon_1h", scores, *named)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    assert "train_encoder" not in result.stdout + result.stderr
    recons = read_recons(first / "results/labsub/recon_1h")
    names = pd.read_csv(first / "results/labsub/images/names.csv")
    assert names["image"][recons.nsd_id].tolist() == [f"{name}.jpg" for name in "wxyz"]
    assert recons.provenance["subject"] == "labsub"
    assert pd.read_csv(first / scores).notna().any(axis=None)
