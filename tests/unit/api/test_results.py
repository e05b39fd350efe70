"""The models that decode a run, and metrics of arrays against plain loops."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.refusals import refused

import brainit
from brainit.api.reconstructor import ModelFiles
from brainit.api.results import model_files
from brainit.core.files import sha256_of
from brainit.evaluation.checks.verdict import CHECK_COLUMNS, HOLDS


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def made_with(folder: Path, **files: str) -> dict[str, dict[str, str]]:
    """Write a different file for each role below `folder`; return the recorded entries."""
    for role, name in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"the {role} of {name}")
    return {
        role: {"file": f"results/{name}", "sha256": sha256_of(folder / name)}
        for role, name in files.items()
    }


FILES = {
    "bit_lowlevel": "subj01/transfer_1h/bit_lowlevel/bit.safetensors",
    "bit_semantic": "subj01/transfer_1h/joint/bit.safetensors",
    "generator": "group/without_subj01/main/joint/generator.safetensors",
}


def test_models_of_a_run_are_those_it_was_made_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "moved"
    made = made_with(moved, **FILES)
    found = model_files(moved, made)
    assert found == ModelFiles(*(moved / name for name in FILES.values()))
    (tmp_path / "here").mkdir()
    moved.rename(tmp_path / "here" / "results")
    monkeypatch.chdir(tmp_path / "here")
    named = model_files(Path("results"), made)
    assert named == ModelFiles(*(Path("results", name) for name in FILES.values()))


def test_a_run_of_low_level_images_has_a_low_level_bit_alone(tmp_path: Path) -> None:
    made = made_with(tmp_path, bit_lowlevel=FILES["bit_lowlevel"])
    path = tmp_path / FILES["bit_lowlevel"]
    assert model_files(tmp_path, made) == ModelFiles(path, None, None)


def test_another_model_in_its_place_is_refused(tmp_path: Path) -> None:
    made = made_with(tmp_path, **FILES)
    path = tmp_path / FILES["generator"]
    path.write_text("trained anew")
    with refused("inconsistent-inputs", "generator", "another model"):
        model_files(tmp_path, made)
    path.unlink()
    with refused("missing-file", "joint/generator.safetensors"):
        model_files(tmp_path, made)


@pytest.mark.parametrize("name", ["failures", "encoder", "t4"])
def test_a_table_is_read_whatever_its_columns(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "subj01/recon_40h/provenance.json")
    path = tmp_path / "tables" / name / f"{name}.csv"
    path.parent.mkdir(parents=True)
    path.write_text("part,n_voxels\nall voxels,3\n")
    assert brainit.load(tmp_path).table(name)["n_voxels"].tolist() == [3]
    with refused("unknown-name", "t9"):
        brainit.load(tmp_path).table("t9")


def test_checks_are_the_newest(tmp_path: Path) -> None:
    """Those of `everything` begin with those of `all`, unless these were made anew."""
    touch(tmp_path, "subj01/recon_40h/provenance.json")
    results = brainit.load(tmp_path)
    with refused("missing-file", "checks.csv", "check_results"):
        _ = results.checks
    names = {"checks.csv": 100, "checks_full.csv": 200}
    for name, seconds in names.items():
        row = (name, 1.0, 0.9, 1.1, 0.5, 0.0, HOLDS, "why")
        pd.DataFrame([row], columns=list(CHECK_COLUMNS)).to_csv(tmp_path / name, index=False)
        os.utime(tmp_path / name, (seconds, seconds))
        assert results.checks["check"].tolist() == [name]
    for seconds, newest in ((200, "checks_full.csv"), (201, "checks.csv")):
        os.utime(tmp_path / "checks.csv", (seconds, seconds))
        assert results.checks["check"].tolist() == [newest]
    (tmp_path / "checks.csv").unlink()
    assert results.checks["check"].tolist() == ["checks_full.csv"]


def test_load_refuses_a_folder_without_runs(tmp_path: Path) -> None:
    (tmp_path / "subj01" / "recon_40h").mkdir(parents=True)
    with refused("missing-file", "finished run"):
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
        with refused("inconsistent-inputs", "3 reconstructions", "2 seen"):
            call(images, images[:2])
    with refused("inconsistent-inputs", "at least 2"):
        brainit.metrics.two_way(np.zeros((1, 4)), np.zeros((1, 4)))


def test_the_package_has_no_other_door() -> None:
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = brainit.other
