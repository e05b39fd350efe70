"""Which models decode a run, and metrics of arrays against plain loops."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import brainit
from brainit.api.reconstructor import ModelFiles
from brainit.api.results import model_files
from brainit.core.errors import PipelineError
from brainit.evaluation.check import CHECK_COLUMNS, HOLDS


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


MODELS = ("bit_lowlevel/bit.safetensors", "joint/bit.safetensors", "joint/generator.safetensors")


@pytest.mark.parametrize(
    ("run", "folders"),
    [
        ("40h", ["group/all/main"] * 3),
        ("40h_k8", ["group/all/main", "group/all/k8", "group/all/k8"]),
        ("nsdsynthetic", ["group/all/main"] * 3),
        ("first2", ["group/first2/main"] * 3),
        ("1h_scratch", ["group/scratch_subj01_1h/main"] * 3),
        ("1h", ["subj01/transfer_1h", "subj01/transfer_1h", "group/without_subj01/main"]),
    ],
)
def test_models_of_a_run_are_the_workflow_s(tmp_path: Path, run: str, folders: list[str]) -> None:
    for pool in ("all", "without_subj01", "scratch_subj01_1h", "first2"):
        folder = f"group/{pool}/main"
        touch(tmp_path, *(f"{folder}/{name}" for name in MODELS))
    touch(tmp_path, *(f"group/all/k8/{name}" for name in MODELS[1:]))
    touch(tmp_path, *(f"subj01/transfer_1h/{name}" for name in MODELS[:2]))
    found = model_files(tmp_path, "subj01", run)
    expected = [tmp_path / folder / name for folder, name in zip(folders, MODELS, strict=True)]
    assert [found.lowlevel, found.semantic, found.generator] == expected


def test_a_run_of_low_level_images_has_the_low_level_bit_of_its_own_data(tmp_path: Path) -> None:
    touch(tmp_path, *(f"group/all/main/{name}" for name in MODELS))
    touch(tmp_path, f"subj01/transfer_1h/{MODELS[0]}")
    found = model_files(tmp_path, "subj01", "1h_lowlevel")
    assert found == ModelFiles(tmp_path / "subj01/transfer_1h" / MODELS[0], None, None)
    assert model_files(tmp_path, "subj01", "40h_lowlevel").generator is None
    with pytest.raises(PipelineError, match="transfer_10h"):  # never the models of all subjects
        model_files(tmp_path, "subj01", "10h")


@pytest.mark.parametrize("name", ["failures", "encoder", "t4"])
def test_a_table_is_read_whatever_its_columns(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "subj01/recon_40h/provenance.json")
    path = tmp_path / "tables" / name / f"{name}.csv"
    path.parent.mkdir(parents=True)
    path.write_text("part,n_voxels\nall voxels,3\n")
    assert brainit.load(tmp_path).table(name)["n_voxels"].tolist() == [3]
    with pytest.raises(PipelineError, match="snakemake tables"):
        brainit.load(tmp_path).table("t9")


def test_checks_are_the_newest(tmp_path: Path) -> None:
    """Those of `everything` begin with those of `all`, unless these were made anew."""
    touch(tmp_path, "subj01/recon_40h/provenance.json")
    results = brainit.load(tmp_path)
    with pytest.raises(PipelineError, match=r"checks\.csv.*check_results"):
        _ = results.checks
    names = {"checks.csv": 100, "checks_full.csv": 200}
    for name, seconds in names.items():
        row = (name, 1.0, 0.5, 0.0, HOLDS, "why")
        pd.DataFrame([row], columns=list(CHECK_COLUMNS)).to_csv(tmp_path / name, index=False)
        os.utime(tmp_path / name, (seconds, seconds))
        assert results.checks["check"].tolist() == [name]
    for seconds, newest in ((200, "checks_full.csv"), (201, "checks.csv")):
        os.utime(tmp_path / "checks.csv", (seconds, seconds))
        assert results.checks["check"].tolist() == [newest]
    (tmp_path / "checks.csv").unlink()
    assert results.checks["check"].tolist() == ["checks_full.csv"]


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    touch(tmp_path, *(f"group/all/main/{name}" for name in MODELS[:2]))
    with pytest.raises(PipelineError, match=r"joint/generator.safetensors.*group/all/main"):
        model_files(tmp_path, "subj01", "40h")


def test_load_refuses_a_folder_without_runs(tmp_path: Path) -> None:
    (tmp_path / "subj01" / "recon_40h").mkdir(parents=True)
    with pytest.raises(PipelineError, match="finished run"):
        brainit.load(tmp_path)


def test_two_way_by_loops() -> None:
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(6, 9))
    recons = seen + rng.normal(size=(6, 9))
    found = brainit.metrics.two_way(recons, seen)
    for k in range(6):
        own = np.corrcoef(recons[k], seen[k])[0, 1]
        lower = [np.corrcoef(recons[k], seen[j])[0, 1] < own for j in range(6) if j != k]
        assert found[k] == pytest.approx(100 * np.mean(lower))


def test_pixel_metrics_of_equal_and_of_inverted_images() -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(2, 20, 20, 3)).astype(np.uint8)
    np.testing.assert_allclose(brainit.metrics.pix_corr(images, images), 1.0)
    np.testing.assert_allclose(brainit.metrics.ssim(images, images), 1.0)
    np.testing.assert_allclose(brainit.metrics.pix_corr(images, 255 - images), -1.0, atol=1e-6)


def test_unequal_numbers_of_images_are_refused() -> None:
    images = np.zeros((3, 8, 8, 3), dtype=np.uint8)
    for call in (brainit.metrics.pix_corr, brainit.metrics.ssim, brainit.metrics.score):
        with pytest.raises(PipelineError, match="3 reconstructions, 2 seen"):
            call(images, images[:2])
    with pytest.raises(PipelineError, match="at least 2"):
        brainit.metrics.two_way(np.zeros((1, 4)), np.zeros((1, 4)))


def test_the_package_has_no_other_door() -> None:
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = brainit.other
