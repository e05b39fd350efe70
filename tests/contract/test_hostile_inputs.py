"""Hostile content stays content: no markup in the report, no code from files, nothing outside."""

import ast
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from tests.lab_folder import lab_trials, write_lab_folder
from tests.refusals import refused
from tests.report_files import write_run

from brainit.commands.plan.contents import read_configuration
from brainit.core.reading import read_yaml
from brainit.core.settings import ImageSettings, NsdSettings, Settings, parse_sections
from brainit.data.image_files import external_rows, stimulus_rows
from brainit.data.lab.prepare import LabOutputs, import_lab_subject
from brainit.evaluation.tables.files import Block, Table, as_html
from brainit.report.html import make_report

PACKAGE = Path(__file__).resolve().parents[2] / "pipeline_src" / "brainit"
MARKUP = "</script><img src=x onerror=alert(1)>"
ODD_NAMES = (
    "a b.png",
    "it's.png",
    'say "x".png',
    "new\nline.png",
    f"{MARKUP.replace('/', '')}.png",
    "\u4e2d\u6587.png",
    "z\u00e9ro.png",
    "-rf.png",
    "$(id).png",
    "a,b;c.png",
    "%s{}.png",
    "NA",
)


def test_markup_in_names_reaches_the_report_as_text(tmp_path: Path) -> None:
    inputs = write_run(tmp_path)
    subject = MARKUP.replace("</script>", "")
    run = f"{subject}/40h"
    checks = pd.read_csv(tmp_path / "checks.csv", keep_default_na=False)
    checks.iloc[0, 0] = MARKUP
    checks.to_csv(tmp_path / "checks.csv", index=False)
    scores = {f"{run}/{key.split('/')[2]}": path for key, path in inputs.metrics.items()}
    for path in scores.values():
        table = pd.read_csv(path)
        table.assign(**{MARKUP: 0.5}).to_csv(path, index=False)
    named = replace(
        inputs,
        recons={run: inputs.recons["subj01/40h"]},
        metrics=scores,
        trials={subject: inputs.trials["subj01"]},
        ceilings={subject: inputs.ceilings["subj01"]},
    )
    nsd = {"mask": "files", "mask_files": [MARKUP, f"{MARKUP}2"]}
    settings = parse_sections({"nsd": nsd, "run": {"simulation": True}})
    report = make_report(named, settings)
    assert "onerror=alert" in report and "<img src=x" not in report
    assert report.count("</script>") == make_report(inputs, settings).count("</script>")


def test_markup_in_a_table_is_text() -> None:
    block = Block(MARKUP, (MARKUP,), ((MARKUP,),))
    assert "<img" not in as_html(Table("t", MARKUP, (block,), pd.DataFrame(), (MARKUP,)))


@pytest.mark.parametrize(
    "text",
    [
        "run: !!python/object/apply:os.system ['touch TRACE']",
        "run: !!python/name:os.system",
        "!!python/object/new:subprocess.Popen [['touch', 'TRACE']]",
        "run: !include TRACE",
    ],
)
def test_settings_cannot_run_code(tmp_path: Path, text: str) -> None:
    trace = tmp_path / "trace"
    (tmp_path / "mine.yaml").write_text(text.replace("TRACE", str(trace)))
    with refused("damaged-file", "mine.yaml"):
        read_configuration([tmp_path / "mine.yaml"])
    assert not trace.exists()


def test_settings_cannot_fill_the_memory(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    with refused("damaged-file", "bomb.yaml", "aliases"):
        read_configuration([tmp_path / "bomb.yaml"])


@pytest.mark.parametrize("form", ["doubled at each level", "of one at each key"])
def test_a_small_file_of_yaml_merges_cannot_fill_the_memory(tmp_path: Path, form: str) -> None:
    lines = ["a0: &a0 {x: 1}"]
    if form == "doubled at each level":
        lines += [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40)]
    else:
        pairs = ", ".join(f"k{n}: 1" for n in range(400))
        lines += [f"b: &b {{{pairs}}}", *(f"c{n}: {{<<: *b}}" for n in range(300))]
    (tmp_path / "merges.yaml").write_text("\n".join(lines))
    with refused("damaged-file", "merges.yaml", "merges"):
        read_yaml(tmp_path / "merges.yaml", "settings", "mend it")
    (tmp_path / "mine.yaml").write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n")
    assert read_yaml(tmp_path / "mine.yaml", "", "")["b"] == {"x": 3, "y": 2}


def test_no_text_is_run_by_a_shell() -> None:
    """Snakemake's own rules quote each placeholder (`:q`), which `test_lint.py` holds."""
    shells = {"system", "popen", "getoutput", "getstatusoutput"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                assert not [word for word in node.keywords if word.arg == "shell"], path
                called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                assert called not in shells, path


@pytest.mark.parametrize("name", ["../out.jpg", "/tmp/out.jpg", "unlabeled2017/../../out.jpg"])
def test_an_archive_cannot_name_files_outside(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"x")
    with refused("wrong-kind", "out.jpg"):
        list(external_rows(tmp_path / "a.zip", ImageSettings(stored_size=8)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("form", ["link", "external", "sparse"])
def test_hdf5_holds_its_own_values(tmp_path: Path, form: str) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as handle:
        handle["x"] = np.ones((2, 8, 8, 3), np.uint8)
    with h5py.File(tmp_path / "s.hdf5", "w") as handle:
        if form == "link":
            handle["imgBrick"] = h5py.ExternalLink(str(secret), "x")
        elif form == "external":
            place = [(str(secret), 0, 384)]
            handle.create_dataset("imgBrick", (2, 8, 8, 3), "u1", external=place)
        else:  # a terabyte that was never written
            shape = (10**9, 20, 20, 3)
            handle.create_dataset("imgBrick", shape, "u1", chunks=(1, 20, 20, 3))
    with refused("missing-data" if form == "link" else "damaged-file", "s.hdf5"):
        list(stimulus_rows(tmp_path / "s.hdf5", ImageSettings(stored_size=8)))


def test_odd_names_of_images_and_folders(tmp_path: Path) -> None:
    folder = write_lab_folder(tmp_path / 'it\'s "my" \u4e2d\u6587 <b>lab</b>')
    plain = [f"{letter}.png" for letter in "abcdefghijkl"]
    table = lab_trials()
    for old, new in zip(plain, ODD_NAMES, strict=True):
        (folder / "images" / old).rename(folder / "images" / new)
    table["image"] = table["image"].replace(dict(zip(plain, ODD_NAMES, strict=True)))
    table.to_csv(folder / "trials.csv", index=False)
    root = tmp_path / "made <x>"
    names = ("trials.csv", "names.csv", "stimuli", "betas.npy", "voxels.safetensors")
    made = LabOutputs(*(root / n for n in (*names, "b.json", "c.safetensors", "c.csv")))
    settings = Settings(nsd=NsdSettings(), images=ImageSettings(stored_size=8))
    import_lab_subject(folder, "labsub", settings, made)
    kept = pd.read_csv(made.images, keep_default_na=False)
    by_row = dict(zip(kept["nsd_id"], kept["image"], strict=True))
    trials = pd.read_csv(made.trials)
    assert [by_row[row] for row in trials["nsd_id"]] == table["image"].tolist()
