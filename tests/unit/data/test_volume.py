"""Betas in func1pt8mm: files that h5py and nibabel write by themselves, read at an ROI's voxels."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest
from scipy import stats

from brainit.core.errors import PipelineError
from brainit.core.settings import NsdSettings, parse_sections
from brainit.data.nsd import masks
from brainit.data.nsd.anatomy import anatomy_keys
from brainit.data.nsd.betas import prepare_betas
from brainit.data.nsd.design import prepare_design
from brainit.data.nsd.volume import (
    VolumeMask,
    read_volume,
    read_volume_betas,
    read_volume_mask,
    values_in_mask,
)
from brainit.data.trials import write_trials
from brainit.data.voxels import read_voxels

SHAPE = (7, 6, 5)
N_TRIALS = 12
AFFINE = np.array([[1.8, 0, 0, -5], [0, 1.8, 0, -4], [0, 0, 1.8, 3], [0, 0, 0, 1]])
SUFFIX = {"hdf5": "hdf5", "nifti": "nii.gz"}


def write_nifti(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, AFFINE), path)
    return path


def write_hdf5(path: Path, values: np.ndarray, name: str = "betas") -> Path:
    """Write (X, Y, Z, trials) as MATLAB does: axes reversed, one chunk per voxel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as handle:
        chunks = (values.shape[-1], *[1] * (values.ndim - 1))
        handle.create_dataset(name, data=values.T, chunks=chunks)
    return path


def write_betas(folder: Path, values: np.ndarray, volume_format: str) -> Path:
    path = folder / f"betas_session01.{SUFFIX[volume_format]}"
    return (write_hdf5 if volume_format == "hdf5" else write_nifti)(path, values)


@pytest.fixture
def roi() -> np.ndarray:
    """Return -1 outside and 0 to 2 inside, with runs along X that end at and cross row ends."""
    values = np.random.default_rng(0).choice([-1, 0, 1, 2], SHAPE).astype(np.int16)
    values[5:, 2, 3] = 1
    values[:2, 3, 3] = 1
    return values


@pytest.fixture
def mask(roi: np.ndarray, tmp_path: Path) -> VolumeMask:
    return read_volume_mask(write_nifti(tmp_path / "roi.nii.gz", roi), "roi")


@pytest.fixture
def raw() -> np.ndarray:
    values = np.random.default_rng(1).integers(-32768, 32767, (*SHAPE, N_TRIALS), dtype=np.int16)
    values[0, 0, 0] = [-32768, 32767] * (N_TRIALS // 2)
    return values


def voxels_of(roi: np.ndarray) -> list[tuple[int, int, int]]:
    """Return the places above 0 in the order X, Y, Z, by plain loops."""
    n_x, n_y, n_z = roi.shape
    places = [(x, y, z) for z in range(n_z) for y in range(n_y) for x in range(n_x)]
    return [place for place in places if roi[place] > 0]


def test_a_volume_may_be_as_large_as_its_header_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no larger, for a packed file may hold any number of bytes behind its values."""
    monkeypatch.setattr(masks, "_LARGEST_BYTES", 100)
    monkeypatch.setattr(masks, "_BLOCK_BYTES", 64)
    values = np.arange(210, dtype=np.float32).reshape(SHAPE)
    path = write_nifti(tmp_path / "t1.nii.gz", values)
    np.testing.assert_array_equal(read_volume(path)[0], values)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(1000)))
    with pytest.raises(PipelineError) as error:
        read_volume(path)
    assert error.value.code == "damaged-file"


def test_mask_equals_loops(roi: np.ndarray, mask: VolumeMask) -> None:
    expected = voxels_of(roi)
    assert [tuple(row) for row in mask.xyz.tolist()] == expected
    for row, (x, y, z) in enumerate(expected):
        assert mask.vertex[row] == x + 7 * (y + 6 * z)
        centre = [1.8 * x - 5, 1.8 * y - 4, 1.8 * z + 3]
        np.testing.assert_allclose(mask.position_mm[row], centre, rtol=1e-6)
        assert mask.hemisphere[row] == (x >= 3)
    assert (mask.vertex.dtype, mask.hemisphere.dtype) == (np.int64, np.int64)


@pytest.mark.parametrize("volume_format", ["hdf5", "nifti"])
def test_both_formats_equal_loops(
    roi: np.ndarray, mask: VolumeMask, raw: np.ndarray, tmp_path: Path, volume_format: str
) -> None:
    found = read_volume_betas(write_betas(tmp_path, raw, volume_format), mask, N_TRIALS)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    for trial in range(N_TRIALS):
        for row, place in enumerate(voxels_of(roi)):
            assert found[trial, row] == np.float32(int(raw[*place, trial])) / np.float32(300)


def test_big_endian_nifti(mask: VolumeMask, raw: np.ndarray, tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    path = tmp_path / "betas_session01.nii.gz"
    nib.save(nib.Nifti1Image(raw, AFFINE, header), path)
    assert nib.load(path).header.endianness == ">"
    expected = read_volume_betas(write_betas(tmp_path, raw, "hdf5"), mask, N_TRIALS)
    np.testing.assert_array_equal(read_volume_betas(path, mask, N_TRIALS), expected)


def test_nifti_extension_is_skipped(mask: VolumeMask, raw: np.ndarray, tmp_path: Path) -> None:
    image = nib.Nifti1Image(raw, AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"made by a test"))
    path = tmp_path / "betas_session01.nii.gz"
    nib.save(image, path)
    expected = read_volume_betas(write_betas(tmp_path, raw, "hdf5"), mask, N_TRIALS)
    np.testing.assert_array_equal(read_volume_betas(path, mask, N_TRIALS), expected)


# --- the whole step ----------------------------------------------------------------------------


def volume_tree(tiny: Any, root: Path, roi: np.ndarray) -> dict[int, np.ndarray]:
    """Add func1pt8mm files to a tiny NSD; return the written values, (trials, X, Y, Z) int16."""
    rng = np.random.default_rng(2)
    folder = root / "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR"
    write_nifti(root / "nsddata/ppdata/subj01/func1pt8mm/roi/nsdgeneral.nii.gz", roi)
    write_nifti(folder / "ncsnr.nii.gz", rng.uniform(0.1, 1, SHAPE).astype(np.float32))
    written = {}
    for session in range(1, tiny.n_sessions + 1):
        values = rng.integers(-900, 900, (*SHAPE, N_TRIALS), dtype=np.int16)
        write_hdf5(folder / f"betas_session{session:02d}.hdf5", values)
        write_nifti(folder / f"betas_session{session:02d}.nii.gz", values)
        written[session] = np.moveaxis(values, -1, 0)
    return written


def run_step(root: Path, out: Path, **changes: Any) -> None:
    from brainit.steps import prepare_betas as step

    nsd = {"space": "func1pt8mm", "mask": "nsdgeneral", "validation_share": 0.25, **changes}
    write_trials(out / "trials.csv", prepare_design(root, "subj01", NsdSettings(), 42))
    words = ["--subject", "subj01", "--nsd", str(root), "--source", root.as_uri()]
    words += ["--trials", str(out / "trials.csv"), "--work", str(out / "work")]
    words += ["--betas", str(out / "b.npy"), "--voxels", str(out / "v.safetensors")]
    settings = parse_sections({"nsd": nsd}).model_dump_json()
    words += ["--summary", str(out / "b.json"), "--settings", settings]
    step.main([*words, "--mask-files", *nsd.get("mask_files", [])])


@pytest.mark.parametrize("volume_format", ["hdf5", "nifti"])
def test_step_in_the_volume_equals_scipy(
    make_nsd: Callable[..., Any], roi: np.ndarray, tmp_path: Path, volume_format: str
) -> None:
    tiny = make_nsd(tmp_path / "nsd")
    written = volume_tree(tiny, tiny.root, roi)
    run_step(tiny.root, tmp_path, volume_format=volume_format)
    betas, voxels = np.load(tmp_path / "b.npy"), read_voxels(tmp_path / "v.safetensors")
    places = voxels_of(roi)
    expected = [
        stats.zscore([[values[t][p] / 300 for p in places] for t in range(N_TRIALS)])
        for values in written.values()
    ]
    np.testing.assert_allclose(betas, np.concatenate(expected), atol=2e-3)
    assert (voxels.attributes["space"], voxels.attributes["mask"]) == ("func1pt8mm", "nsdgeneral")
    ncsnr = nib.load(tiny.root / anatomy_keys(SETTINGS, ["subj01"])[0]).get_fdata()
    for row, place in enumerate(places):
        ratio = ncsnr[place] ** 2
        np.testing.assert_allclose(
            voxels["noise_ceiling"][row], 100 * ratio / (ratio + 1 / 3), rtol=1e-5
        )


def test_step_with_an_roi_file_of_the_user(
    make_nsd: Callable[..., Any], roi: np.ndarray, tmp_path: Path
) -> None:
    tiny = make_nsd(tmp_path / "nsd")
    volume_tree(tiny, tiny.root, roi)
    own = np.zeros(SHAPE, np.float32)
    own[3, 2, 1] = 4
    path = write_nifti(tmp_path / "V4.nii.gz", own)
    run_step(tiny.root, tmp_path, mask="files", mask_files=[str(path)])
    voxels = read_voxels(tmp_path / "v.safetensors")
    assert voxels["vertex"].tolist() == [3 + 7 * (2 + 6 * 1)]
    assert voxels.attributes["mask"] == "V4"


SETTINGS = NsdSettings(space="func1pt8mm", mask="nsdgeneral")


def test_keys_of_the_volume() -> None:
    base = "nsddata_betas/ppdata/subj07/func1pt8mm/betas_fithrf_GLMdenoise_RR"
    assert anatomy_keys(SETTINGS, ["subj07"]) == [
        f"{base}/ncsnr.nii.gz",
        "nsddata/ppdata/subj07/func1pt8mm/roi/nsdgeneral.nii.gz",
    ]


# --- bad input ---------------------------------------------------------------------------------


def fault(code: str, path: Path, mask: VolumeMask, n_trials: int = N_TRIALS) -> str:
    """Return the text of the error, which has this code and names the file."""
    with pytest.raises(PipelineError) as error:
        read_volume_betas(path, mask, n_trials)
    assert (error.value.code, error.value.where) == (code, str(path))
    return str(error.value)


def volume_fault(code: str, path: Path) -> str:
    """Return the text of the error of a volume or ROI file."""
    with pytest.raises(PipelineError) as error:
        read_volume_mask(path, "x")
    assert (error.value.code, error.value.where) == (code, str(path))
    return str(error.value)


@pytest.mark.parametrize("volume_format", ["hdf5", "nifti"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated(
    mask: VolumeMask, raw: np.ndarray, tmp_path: Path, volume_format: str, share: float
) -> None:
    path = write_betas(tmp_path, raw, volume_format)
    os.truncate(path, int(path.stat().st_size * share))
    fault("damaged-file", path, mask)


@pytest.mark.parametrize("volume_format", ["hdf5", "nifti"])
def test_foreign_or_missing(mask: VolumeMask, tmp_path: Path, volume_format: str) -> None:
    path = tmp_path / f"betas_session01.{SUFFIX[volume_format]}"
    fault("missing-file", path, mask)
    path.write_bytes(b"<html>denied</html>" * 100)
    assert "web page" in fault("wrong-kind", path, mask)
    path.write_bytes(b"denied" * 100)
    fault("damaged-file", path, mask)


def test_gzip_of_something_else(mask: VolumeMask, tmp_path: Path) -> None:
    path = tmp_path / "betas_session01.nii.gz"
    with gzip.open(path, "wb") as handle:
        handle.write(b"no header" * 1000)
    assert ".nii.gz" in fault("damaged-file", path, mask)


@pytest.mark.parametrize("volume_format", ["hdf5", "nifti"])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.int32])
def test_wrong_dtype(
    mask: VolumeMask, raw: np.ndarray, tmp_path: Path, volume_format: str, dtype: type
) -> None:
    text = fault("wrong-shape", write_betas(tmp_path, raw.astype(dtype), volume_format), mask)
    assert "int16" in text and np.dtype(dtype).name in text


@pytest.mark.parametrize("volume_format", ["hdf5", "nifti"])
def test_wrong_axes(mask: VolumeMask, raw: np.ndarray, tmp_path: Path, volume_format: str) -> None:
    text = fault("wrong-shape", write_betas(tmp_path, raw.T, volume_format), mask)
    assert "int16" in text.partition("found")[2]


@pytest.mark.parametrize("volume_format", ["hdf5", "nifti"])
def test_another_shape_than_the_roi(
    mask: VolumeMask, raw: np.ndarray, tmp_path: Path, volume_format: str
) -> None:
    text = fault("wrong-shape", write_betas(tmp_path, raw[:-1], volume_format), mask)
    assert "mask roi" in text


@pytest.mark.parametrize("volume_format", ["hdf5", "nifti"])
def test_another_trial_count(
    mask: VolumeMask, raw: np.ndarray, tmp_path: Path, volume_format: str
) -> None:
    path = write_betas(tmp_path, raw, volume_format)
    expected, _, found = fault("wrong-shape", path, mask, N_TRIALS + 1).partition("found")
    assert str(N_TRIALS + 1) in expected and str(N_TRIALS) in found


def test_hdf5_without_betas(mask: VolumeMask, raw: np.ndarray, tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "betas_session01.hdf5", raw, "imgBrick")
    text = fault("missing-data", path, mask)
    assert "'betas'" in text and "found ['imgBrick']" in text


def test_nifti_with_a_scale(mask: VolumeMask, raw: np.ndarray, tmp_path: Path) -> None:
    image = nib.Nifti1Image(raw, AFFINE)
    image.header.set_slope_inter(1 / 300, 0)
    path = tmp_path / "betas_session01.nii.gz"
    nib.save(image, path)
    assert "slope 0.003" in fault("wrong-shape", path, mask)


def test_nifti_with_bytes_to_spare(mask: VolumeMask, raw: np.ndarray, tmp_path: Path) -> None:
    path = write_betas(tmp_path, raw, "nifti")
    content = gzip.decompress(path.read_bytes()) + b"\0\0"
    path.write_bytes(gzip.compress(content))
    assert "12 trials" in fault("damaged-file", path, mask)


def test_nifti_whose_checksum_differs(mask: VolumeMask, raw: np.ndarray, tmp_path: Path) -> None:
    path = write_betas(tmp_path, raw, "nifti")
    content = bytearray(path.read_bytes())
    content[-8] ^= 255  # CRC-32 of the stream
    path.write_bytes(content)
    assert "CRC" in fault("damaged-file", path, mask)


def test_constant_session(make_nsd: Callable[..., Any], roi: np.ndarray, tmp_path: Path) -> None:
    tiny = make_nsd(tmp_path / "nsd")
    volume_tree(tiny, tiny.root, roi)
    key = "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR"
    write_hdf5(tiny.root / key / "betas_session03.hdf5", np.zeros((*SHAPE, 12), np.int16))
    write_trials(tmp_path / "t.csv", prepare_design(tiny.root, "subj01", NsdSettings(), 42))
    source = str(tiny.root)
    with pytest.raises(PipelineError) as error:
        prepare_betas("subj01", tiny.root, source, tmp_path / "t.csv", tmp_path / "w", SETTINGS)
    assert (error.value.code, error.value.where) == ("bad-values", "subj01 session 3")
    assert "betas_session03.hdf5" in error.value.fix


def test_bad_rois(mask: VolumeMask, raw: np.ndarray, tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "x.nii.gz", np.full(SHAPE, -1, np.int16))
    assert "nsd.mask_files" in volume_fault("missing-data", path)
    assert str(raw.shape) in volume_fault("wrong-kind", write_nifti(path, raw))
    surface = tmp_path / "lh.x.mgz"
    nib.save(nib.MGHImage(np.ones((4, 1, 1), np.float32), np.eye(4)), surface)
    assert "MGHImage" in volume_fault("wrong-kind", surface)
    os.truncate(path, 100)
    volume_fault("damaged-file", path)
    content = bytearray(gzip.decompress(write_nifti(path, np.ones(SHAPE)).read_bytes()))
    content[70:72] = (20).to_bytes(2, "little")  # no type of NIfTI's
    path.write_bytes(gzip.compress(content))
    assert "data code 20" in volume_fault("damaged-file", path)
    content = bytearray(write_nifti(path, np.ones(SHAPE)).read_bytes())
    content[-8] ^= 1  # CRC-32 of the stream
    path.write_bytes(content)
    assert "CRC" in volume_fault("damaged-file", path)
    other = write_nifti(tmp_path / "ncsnr.nii.gz", np.ones((7, 6, 4), np.float32))
    with pytest.raises(PipelineError) as error:
        values_in_mask(other, mask)
    assert (error.value.code, error.value.found) == ("inconsistent-inputs", "(7, 6, 4)")
    assert "(7, 6, 5)" in error.value.expected and "roi" in error.value.expected


@pytest.mark.parametrize(
    ("nsd", "facts"),
    [
        ({"space": "func1pt8mm"}, ("algonauts", "fsaverage", "nsdgeneral")),
        ({"mask": "files"}, ("nsd.mask_files", " 2 ")),
        (
            {"space": "func1pt8mm", "mask": "files", "mask_files": ["a", "b"]},
            ("nsd.mask_files", " 1 "),
        ),
        ({"mask_files": ["a", "b"]}, ("nsd.mask_files", " 0 ")),
        ({"mask": "files", "mask_files": ["a", "a"]}, ("nsd.mask_files", ": a, a")),
        ({"subjects": ["subj01", "subj01"]}, ("nsd.subjects", ": subj01, subj01")),
    ],
)
def test_settings_that_contradict_each_other(nsd: dict[str, Any], facts: tuple[str, ...]) -> None:
    with pytest.raises(PipelineError) as error:
        parse_sections({"nsd": nsd})
    assert error.value.code == "invalid-setting"
    assert all(fact in error.value.found for fact in facts)
