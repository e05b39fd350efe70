"""Sessions that are copies, missing, denied or cut: a clear error, and no finished one is lost."""

import errno
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from tests.unit.data.fault_server import Faults, hurry, serving
from tests.unit.data.tiny_nsd import TinyNsd, write_tiny_nsd

from brainit.core.errors import PipelineError
from brainit.core.settings import NsdSettings
from brainit.data.fetch import transfers
from brainit.data.nsd import sessions
from brainit.data.nsd.betas import prepare_betas
from brainit.data.nsd.design import prepare_design
from brainit.data.trials import write_trials

NSD = NsdSettings(validation_share=0.25, mask="nsdgeneral", accept_terms=True)
VOLUME = NSD.model_copy(update={"space": "func1pt8mm", "volume_format": "nifti"})
N_SESSIONS = 5


@pytest.fixture
def tree(tmp_path: Path) -> TinyNsd:
    return write_tiny_nsd(tmp_path / "nsd")


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def url(tree: TinyNsd, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    hurry(monkeypatch, block_bytes=100)
    with serving(tree.root, faults) as root:
        yield root


def prepare(tree: TinyNsd, source: str, out: Path, nsd: NsdSettings = NSD) -> bytes:
    """Prepare subject 1 from `source` in the folder `out`; return the bytes of its betas."""
    out.mkdir(exist_ok=True)
    write_trials(out / "trials.csv", prepare_design(tree.root, "subj01", nsd, 42))
    found = prepare_betas("subj01", tree.root, source, out / "trials.csv", out / "work", nsd)
    found.write(out / "betas.npy", out / "voxels.safetensors", out / "betas.json")
    return (out / "betas.npy").read_bytes()


def refused(tree: TinyNsd, source: str, out: Path, nsd: NsdSettings = NSD) -> PipelineError:
    """Return the error that ends the preparation."""
    with pytest.raises(PipelineError) as error:
        prepare(tree, source, out, nsd)
    return error.value


def assert_copy(error: PipelineError, name: str, other: str) -> None:
    """Check that the error names a file and the file whose trials it has."""
    assert error.code == "duplicate-data"
    assert error.where.endswith(name) and error.found.endswith(other)


def finished(out: Path) -> list[str]:
    return sorted(path.stem for path in (out / "work/subj01").glob("session_*.npy"))


def fetched(faults: Faults, name: str) -> Counter[str]:
    """Return how often a session's file was asked for, by session."""
    return Counter(asked[-6:-4] for asked, _ in faults.asked if asked.startswith(name))


# --- copies ------------------------------------------------------------------------------------


def test_a_session_that_is_a_copy_of_another_is_refused(tree: TinyNsd, tmp_path: Path) -> None:
    truth = prepare(tree, str(tree.root), tmp_path / "truth")
    original = tree.betas_path("subj01", "lh", 4).read_bytes()
    shutil.copy(tree.betas_path("subj01", "lh", 2), tree.betas_path("subj01", "lh", 4))
    out = tmp_path / "out"
    error = refused(tree, str(tree.root), out)
    assert_copy(error, "lh.betas_session04.mgh", "lh.betas_session02.mgh")
    assert finished(out) == ["session_01", "session_03"]  # either of the other two may be wrong
    tree.betas_path("subj01", "lh", 4).write_bytes(original)
    assert prepare(tree, str(tree.root), out) == truth


def test_a_hemisphere_that_is_a_copy_of_the_other_is_refused(tree: TinyNsd, tmp_path: Path) -> None:
    shutil.copy(tree.betas_path("subj01", "lh", 1), tree.betas_path("subj01", "rh", 1))
    error = refused(tree, str(tree.root), tmp_path / "out")
    assert_copy(error, "rh.betas_session01.mgh", "lh.betas_session01.mgh")


def test_a_copy_is_found_after_an_interruption_too(
    tree: TinyNsd, url: str, faults: Faults, tmp_path: Path
) -> None:
    shutil.copy(tree.betas_path("subj01", "rh", 1), tree.betas_path("subj01", "rh", 5))
    faults.status["lh.betas_session04.mgh"] = 404
    error = refused(tree, url, tmp_path / "out")
    assert error.code == "network" and "HTTP 404" in error.found
    faults.status.clear()
    error = refused(tree, url, tmp_path / "out")
    assert_copy(error, "rh.betas_session05.mgh", "rh.betas_session01.mgh")


def test_a_volume_that_is_a_copy_of_another_is_refused(tree: TinyNsd, tmp_path: Path) -> None:
    shape = (4, 3, 2)
    folder = tree.path("nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR/x").parent
    roi = tree.path("nsddata/ppdata/subj01/func1pt8mm/roi/nsdgeneral.nii.gz")
    nib.save(nib.Nifti1Image(np.ones(shape, np.int16), np.eye(4)), roi)
    nib.save(nib.Nifti1Image(np.ones(shape, np.float32), np.eye(4)), folder / "ncsnr.nii.gz")
    rng = np.random.default_rng(0)
    for session in range(1, N_SESSIONS + 1):
        values = rng.integers(-300, 300, (*shape, tree.trials_per_session)).astype(np.int16)
        path = folder / f"betas_session{session:02d}.nii.gz"
        nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    prepare(tree, str(tree.root), tmp_path / "good", VOLUME)
    shutil.copy(folder / "betas_session01.nii.gz", folder / "betas_session02.nii.gz")
    error = refused(tree, str(tree.root), tmp_path / "out", VOLUME)
    assert_copy(error, "betas_session02.nii.gz", "betas_session01.nii.gz")


@pytest.mark.parametrize("change", ["twice", "left out"])
def test_responses_of_a_session_twice_or_not_at_all(
    tree: TinyNsd, tmp_path: Path, change: str
) -> None:
    path = tree.responses_path("subj01")
    table = pd.read_csv(path, sep="\t")
    of_third = table["SESSION"] == 3
    changed = pd.concat([table, table[of_third]]) if change == "twice" else table[~of_third]
    changed.to_csv(path, sep="\t", index=False)
    found = 24 if change == "twice" else 0
    error = refused(tree, str(tree.root), tmp_path / "out")
    assert error.code == "inconsistent-inputs" and error.where == f"{path} session 3"
    assert "12 trials" in error.expected and error.found == str(found)


# --- lost on the way ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 404])
def test_a_session_missing_in_the_middle_costs_no_other(
    tree: TinyNsd, url: str, faults: Faults, tmp_path: Path, status: int
) -> None:
    truth = prepare(tree, str(tree.root), tmp_path / "truth")
    out = tmp_path / "out"
    faults.status["rh.betas_session03.mgh"] = status
    error = refused(tree, url, out)
    assert error.code == "network" and error.where.endswith("rh.betas_session03.mgh")
    assert f"HTTP {status}" in error.found
    assert finished(out) == ["session_01", "session_02"] and not (out / "betas.npy").exists()
    faults.status.clear()
    assert prepare(tree, url, out) == truth
    expected = {"01": 1, "02": 1, "03": 2, "04": 1, "05": 1}
    assert fetched(faults, "rh.betas") == expected


def test_one_that_fails_for_a_while_is_mended_on_the_way(
    tree: TinyNsd, url: str, faults: Faults, tmp_path: Path
) -> None:
    truth = prepare(tree, str(tree.root), tmp_path / "truth")
    without_ranges, with_ranges = "rh.betas_session02.mgh", "lh.betas_session04.mgh"
    faults.unavailable["lh.betas_session01.mgh"] = 3
    faults.ignores_ranges.add(without_ranges)
    for name, n_cuts in ((without_ranges, 2), (with_ranges, 1)):
        faults.cut_after[name], faults.cuts[name] = 900, n_cuts
    assert prepare(tree, url, tmp_path / "out") == truth
    assert not +faults.cuts and not +faults.unavailable
    assert (with_ranges, "bytes=900-") in faults.asked


def test_one_that_always_breaks_at_the_same_byte_is_given_up(
    tree: TinyNsd, url: str, faults: Faults, tmp_path: Path
) -> None:
    name = "rh.betas_session02.mgh"
    faults.ignores_ranges.add(name)
    faults.cut_after[name], faults.cuts[name] = 900, 99
    error = refused(tree, url, tmp_path / "out")
    assert error.code == "network" and error.where.endswith(name)
    assert f"{transfers._ATTEMPTS} times" in error.found
    assert finished(tmp_path / "out") == ["session_01"]


def test_a_disk_that_fills_up_costs_no_finished_session(
    tree: TinyNsd, url: str, faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = prepare(tree, str(tree.root), tmp_path / "truth")
    out, saved, n_saved = tmp_path / "out", np.save, Counter[str]()

    def save(path: Path, *args: Any) -> None:
        n_saved["all"] += 1
        if n_saved["all"] == 3:
            path.write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        saved(path, *args)

    monkeypatch.setattr(sessions.np, "save", save)
    error = refused(tree, url, out)
    assert error.where.endswith("session_03.npy")
    assert isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOSPC
    assert finished(out) == ["session_01", "session_02"]
    assert [path.name for path in (out / "work").rglob(".*") if "session" in path.name] == []
    assert prepare(tree, url, out) == truth
    assert fetched(faults, "lh.betas")["01"] == 1


def test_a_work_folder_that_cannot_be_written_is_said(tree: TinyNsd, tmp_path: Path) -> None:
    (tmp_path / "out/work").mkdir(parents=True)
    (tmp_path / "out/work/subj01").write_text("a file where the folder should be")
    error = refused(tree, str(tree.root), tmp_path / "out")
    assert str(tmp_path / "out/work/subj01") in error.where
    assert isinstance(error.__cause__, OSError)
