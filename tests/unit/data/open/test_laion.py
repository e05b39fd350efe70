"""LAION-fMRI from a bucket to arrays, against plain arithmetic; and its faults."""

import io
import json
import shutil
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.refusals import refused
from tests.unit.data.fault_server import Faults
from tests.unit.data.fault_server import serving as serving_folder
from tests.unit.data.open import laion_miniature as mini
from tests.unit.data.open.image_service import REQUEST, serving
from tests.unit.data.open.laion_miniature import wanted

from brainit.commands.program import run
from brainit.core.cli import guarded
from brainit.data.fetch import remote
from brainit.data.lab.check import subject_faults
from brainit.data.open.laion import import_laion
from brainit.data.open.volume_stream import masked_volumes, read_series

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def expected_betas(laion: mini.Miniature, sessions: list[int]) -> np.ndarray:
    """Masked volumes, voxel by voxel in the order of argwhere, less those with a NaN."""
    columns = []
    for x in range(mini.SHAPE[0]):
        for y in range(mini.SHAPE[1]):
            for z in range(mini.SHAPE[2]):
                if laion.mask[x, y, z]:
                    series = [laion.volumes[s][x, y, z, :] for s in sessions]
                    columns.append(np.concatenate(series))
    return np.stack([column for column in columns if np.isfinite(column).all()], axis=1)


def copied(laion: mini.Miniature, folder: Path) -> mini.Miniature:
    """Return a copy to break."""
    shutil.copytree(laion.bucket.parent, folder)
    places = ("bucket", "images/task-images_stimuli.h5", "lists")
    bucket, images, lists = (folder / place for place in places)
    return replace(laion, bucket=bucket, images=images, lists=lists)


def test_from_bucket_to_arrays(
    laion: mini.Miniature, in_bucket: Callable[..., Any], tmp_path: Path
) -> None:
    in_bucket("laion-fmri", laion.bucket)
    folder = tmp_path / "sub01"
    arguments = ["import-subject", "laion", "s3://laion-fmri", str(folder), "--accept-terms"]
    arguments += ["--images", str(laion.images), "--splits", str(laion.lists)]
    assert guarded(run, arguments) == 0
    betas = np.load(folder / "betas.npy")
    expected = expected_betas(laion, [1, 2])
    assert betas.shape == expected.shape == (42, laion.mask.sum() - 1)
    np.testing.assert_array_equal(betas, expected.astype(np.float32))
    trials = pd.read_csv(folder / "trials.csv")
    labels = [*laion.labels[1], *laion.labels[2]]
    assert trials["image"].tolist() == labels
    assert trials["session"].tolist() == [1] * 21 + [2] * 21
    assert trials["run"].tolist() == [1 + 4 * i // 21 for i in range(21)] * 2
    sides = {**dict.fromkeys(mini.TRAIN, "train"), **dict.fromkeys(mini.TEST, "test")}
    assert trials["split"].tolist() == [sides.get(label, "unused") for label in labels]
    about = json.loads((folder / "subject.json").read_text())
    assert about["splits"]["commit"] == "not stated (a folder)"
    assert about["splits"]["n_train"] == 6 and about["sessions"] == [1, 2]
    assert about["quality"]["n_voxels_dropped"] == 1
    assert json.loads((tmp_path / "sub01.terms.json").read_text())["licence"].startswith("CC0")
    assert not (tmp_path / ".sub01.import").exists()
    assert (folder / "images").stat().st_mode & 0o777 == 0o700


def test_places_hemispheres_and_ceilings(laion: mini.Miniature, tmp_path: Path) -> None:
    import_laion(wanted(laion), tmp_path / "sub")
    voxels = pd.read_csv(tmp_path / "sub/voxels.csv")
    is_nan = np.isnan(laion.volumes[1]).any(axis=3)
    kept = [v for v in np.argwhere(laion.mask) if not is_nan[tuple(v)]]
    for row, (i, j, k) in enumerate(kept):
        place = mini.AFFINE @ [i, j, k, 1]
        np.testing.assert_allclose(voxels.loc[row, ["x_mm", "y_mm", "z_mm"]], place[:3], atol=1e-5)
        assert voxels["hemisphere"][row] == (1 if place[0] >= 0 else 0)
        ratio = laion.ceiling[i, j, k] / (100 - laion.ceiling[i, j, k]) / 12
        expected = 100 * ratio / (ratio + 1 / 3)
        assert voxels["noise_ceiling"][row] == pytest.approx(expected, rel=1e-4)


def test_images_as_they_were_shown(laion: mini.Miniature, tmp_path: Path) -> None:
    import_laion(wanted(laion), tmp_path / "sub")
    folder = tmp_path / "sub/images"
    assert sorted(path.name for path in folder.iterdir()) == sorted(mini.NAMES)
    for name in mini.NAMES:
        if name != mini.PNG:
            assert (folder / name).read_bytes() == laion.encoded[name]
    raw = np.asarray(Image.open(io.BytesIO(laion.encoded[mini.PNG]))).astype(float)
    alpha = raw[..., 3:] / 255
    over_grey = np.rint(raw[..., :3] * alpha + 128 * (1 - alpha))
    shown = np.asarray(Image.open(folder / mini.PNG)).astype(float)
    np.testing.assert_allclose(shown, over_grey, atol=1)
    assert (shown[:8] == 128).all() and not (shown[8:] == 128).all()
    assert subject_faults(tmp_path / "sub") == []


def test_only_the_first_repeats_are_tested(laion: mini.Miniature, tmp_path: Path) -> None:
    import_laion(wanted(laion, test_repeats=3, sessions=(1,)), tmp_path / "sub")
    trials = pd.read_csv(tmp_path / "sub/trials.csv")
    seen: dict[str, int] = {}
    for label, split in zip(trials["image"], trials["split"], strict=True):
        seen[label] = seen.get(label, 0) + 1
        if label in mini.TEST:
            assert split == ("test" if seen[label] <= 3 else "unused")


def test_terms_come_before_any_request(
    laion: mini.Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_s3_client", lambda: pytest.fail("asked"))
    with refused("terms", "--accept-terms", "CC0"):
        import_laion(wanted(laion, source="s3://laion-fmri"), tmp_path / "sub")
    with refused("terms", "request id", "LAION_FMRI_REQUEST_ID"):
        import_laion(wanted(laion, images=None), tmp_path / "sub")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("refusal", "facts"),
    [
        (
            (
                403,
                {
                    "detail": {
                        "error": "terms_outdated",
                        "accept_url": "http://accept",
                        "current_terms_version": "3",
                    }
                },
            ),
            ("version 3", "http://accept"),
        ),
        ((403, {"detail": "access revoked"}), ("revoked",)),
        ((404, {"detail": "not found"}), ("does not know",)),
        ((400, {"detail": "odd"}), ("400", "odd")),
    ],
)
def test_refusals_of_the_service(
    laion: mini.Miniature, tmp_path: Path, refusal: tuple[int, Any], facts: tuple[str, ...]
) -> None:
    with serving(laion.images.parent) as (address, service):
        service.refusal = refusal
        with refused("terms", *facts):
            ask = wanted(laion, images=None, request=REQUEST, service=address)
            import_laion(ask, tmp_path / "sub")
    assert not (tmp_path / ".sub.import").exists()


def test_a_busy_service_is_asked_again_and_then_told(laion: mini.Miniature, tmp_path: Path) -> None:
    with serving(laion.images.parent) as (address, service):
        service.refusal = (429, {"detail": "slow down"})
        with refused("network", "429"):
            ask = wanted(laion, images=None, request=REQUEST, service=address)
            import_laion(ask, tmp_path / "sub")


def test_links_that_expire_in_the_middle_are_renewed(
    laion: mini.Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "BLOCK_BYTES", 512)
    with serving(laion.images.parent) as (address, service):
        service.bytes_per_link = 4096
        ask = wanted(laion, images=None, request=REQUEST, service=address)
        import_laion(ask, tmp_path / "sub")
        assert max(service.starts) > 4096 and service.n_links > 4
    assert subject_faults(tmp_path / "sub") == []
    assert [path.name for path in tmp_path.iterdir()] == ["sub"]  # the file of all images is gone


def test_another_checksum(laion: mini.Miniature, tmp_path: Path) -> None:
    with serving(laion.images.parent) as (address, service):
        service.wrong_sha256 = True
        ask = wanted(laion, images=None, request=REQUEST, service=address)
        with refused("checksum", "0" * 64):
            import_laion(ask, tmp_path / "sub")
        service.wrong_sha256 = False
        import_laion(ask, tmp_path / "sub")  # the sessions made before are used


def test_keys_that_moved_are_found(laion: mini.Miniature, tmp_path: Path) -> None:
    broken = copied(laion, tmp_path / "moved")
    (broken.bucket / "derivatives").rename(broken.bucket / "elsewhere")
    roi = broken.bucket / Path(mini.MASK.format("laion-general")).name
    old = broken.bucket / "elsewhere" / mini.MASK.format("laion-general").partition("/")[2]
    old.rename(roi.with_name(roi.name.replace("laion-general", "LaionGeneral")))
    import_laion(wanted(broken), tmp_path / "sub")
    betas = np.load(tmp_path / "sub/betas.npy")
    np.testing.assert_array_equal(betas, expected_betas(laion, [1, 2]).astype(np.float32))


def test_two_files_of_one_name_are_refused(laion: mini.Miniature, tmp_path: Path) -> None:
    broken = copied(laion, tmp_path / "twice")
    (broken.bucket / "derivatives/old").mkdir()
    path = broken.bucket / mini.BETAS.format(2)
    shutil.copy(path, broken.bucket / "derivatives/old" / path.name)
    with refused("duplicate-data", "derivatives/old"):
        import_laion(wanted(broken), tmp_path / "sub")


def test_unknown_session_region_and_subject(laion: mini.Miniature, tmp_path: Path) -> None:
    with refused("missing-file", "sessions 3", "sessions 1, 2"):
        import_laion(wanted(laion, sessions=(1, 3)), tmp_path / "sub")
    with refused("missing-file", "V9", "ffa1, laiongeneral"):
        import_laion(wanted(laion, masks=("V9",)), tmp_path / "sub")
    with refused("missing-file", "sub-02"):
        import_laion(wanted(laion, subject="sub-02"), tmp_path / "sub")


def test_a_session_that_is_not_released(
    laion: mini.Miniature,
    in_bucket: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_bucket("laion-closed", laion.bucket)
    listed = remote.list_s3
    found = list(listed("s3://laion-closed/derivatives/"))
    faults = Faults()
    shutil.copytree(laion.bucket, tmp_path / "served/laion-closed")
    faults.status[Path(mini.BETAS.format(2)).name] = 403
    with serving_folder(tmp_path / "served", faults) as root:
        monkeypatch.setenv("AWS_ENDPOINT_URL", root)
        remote._s3_client.cache_clear()
        monkeypatch.setattr("brainit.data.fetch.listing.list_s3", lambda url: iter(found))
        ask = wanted(laion, source="s3://laion-closed", accepts_terms=True)
        with refused("network", "ses-02", "not released", "--sessions"):
            import_laion(ask, tmp_path / "sub")
        kept = tmp_path / ".sub.import/sessions/session001.npy"
        made = kept.read_bytes(), kept.stat().st_mtime_ns
        faults.asked.clear()
        import_laion(replace(ask, sessions=(1,)), tmp_path / "sub")
    assert not any(Path(mini.BETAS.format(1)).name in name for name, _ in faults.asked)
    betas = np.load(tmp_path / "sub/betas.npy")
    assert len(made[0]) and betas.shape == (21, laion.mask.sum() - 1)


def other_table(laion: mini.Miniature, folder: Path, change: Callable[..., Any]) -> mini.Miniature:
    """Return a copy whose trial table of session 2 is changed."""
    broken = copied(laion, folder)
    path = broken.bucket / mini.TRIALS.format(2)
    table = pd.read_csv(path, sep="\t", dtype=str)
    change(table).to_csv(path, sep="\t", index=False)
    return broken


@pytest.mark.parametrize(
    ("change", "code", "fact"),
    [
        (lambda table: table.iloc[:-1], "inconsistent-inputs", "20 volumes"),
        (lambda table: table.assign(beta_index=0), "bad-values", "beta_index"),
        (lambda table: table.assign(session="ses-01"), "inconsistent-inputs", "session [1]"),
        (lambda table: table.assign(run="n/a"), "bad-values", "run"),
        (lambda table: table.drop(columns="label"), "missing-data", "label"),
        (lambda table: table.assign(label=""), "inconsistent-inputs", "label"),
    ],
)
def test_trial_tables_that_disagree(
    laion: mini.Miniature, tmp_path: Path, change: Callable[..., Any], code: str, fact: str
) -> None:
    broken = other_table(laion, tmp_path / "broken", change)
    with refused(code, fact):
        import_laion(wanted(broken), tmp_path / "sub")
    assert (tmp_path / ".sub.import/sessions/session001.csv").is_file()  # nothing made is lost


def test_rows_may_come_in_another_order(laion: mini.Miniature, tmp_path: Path) -> None:
    def turned(table: pd.DataFrame) -> pd.DataFrame:
        return table.iloc[::-1].assign(session="2", run=[*range(21, 0, -1)])

    broken = other_table(laion, tmp_path / "turned", turned)
    import_laion(wanted(broken, sessions=(2,)), tmp_path / "sub")
    trials = pd.read_csv(tmp_path / "sub/trials.csv")
    assert trials["image"].tolist() == laion.labels[2]
    assert trials["run"].tolist() == list(range(1, 22))
    assert set(trials["session"]) == {1} and set(trials["source_session"]) == {2}


def damaged(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        path.write_bytes(content[:-6] + bytes([content[-6] ^ 1]) + content[-5:])
    elif how == "page":
        path.write_bytes(b"<!DOCTYPE html><html>sign in</html>")
    else:
        mini.write_nifti(path, np.zeros((*mini.SHAPE[:2], 4, 21), np.float32))


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("truncated", "damaged-file"),
        ("flipped", "damaged-file"),
        ("page", "wrong-kind"),
        ("other grid", "inconsistent-inputs"),
    ],
)
def test_damaged_volumes(laion: mini.Miniature, tmp_path: Path, how: str, code: str) -> None:
    broken = copied(laion, tmp_path / "broken")
    damaged(broken.bucket / mini.BETAS.format(2), how)
    with refused(code, "ses-02"):
        import_laion(wanted(broken), tmp_path / "sub")
    work = tmp_path / ".sub.import"
    made = work / "sessions"
    assert (made / "session001.csv").is_file() and not (made / "session002.csv").exists()
    fixed = laion.bucket / mini.BETAS.format(2)
    shutil.copy(fixed, broken.bucket / mini.BETAS.format(2))
    (work / fixed.name).unlink()
    import_laion(wanted(broken), tmp_path / "sub")
    betas = np.load(tmp_path / "sub/betas.npy")
    np.testing.assert_array_equal(betas, expected_betas(laion, [1, 2]).astype(np.float32))


def test_other_arguments_do_not_mix_sessions(laion: mini.Miniature, tmp_path: Path) -> None:
    with refused("leak", "1 on both"):
        mini.write_list(tmp_path / "lists", mini.TRAIN, [mini.TRAIN[0]])
        import_laion(wanted(laion, split_source=str(tmp_path / "lists")), tmp_path / "sub")
    fetched = {path.name for path in (tmp_path / ".sub.import").iterdir() if path.is_file()}
    with refused("wrong-settings", "mask", ".sub.import/sessions"):
        import_laion(wanted(laion, masks=("FFA1",)), tmp_path / "sub")
    shutil.rmtree(tmp_path / ".sub.import/sessions")  # what the refusal asks for
    assert fetched and fetched <= {path.name for path in (tmp_path / ".sub.import").iterdir()}
    import_laion(wanted(laion, masks=("FFA1",)), tmp_path / "sub")


def test_another_subjects_list_and_a_shifted_grid(
    laion: mini.Miniature, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mini.write_list(tmp_path / "lists", ["unique_LAION_a_p04.jpg"], mini.TEST)
    with refused("inconsistent-inputs", "--pool"):
        import_laion(wanted(laion, split_source=str(tmp_path / "lists")), tmp_path / "sub")
    shutil.rmtree(tmp_path / ".sub.import")
    broken = copied(laion, tmp_path / "shifted")
    affine = mini.AFFINE.copy()
    affine[0, 3] += 20
    path = broken.bucket / mini.MASK.format("laion-general")
    nib.save(nib.Nifti1Image(laion.mask, affine), path)
    import_laion(wanted(broken, sessions=(1,)), tmp_path / "sub")
    assert any("20.0 mm" in record.message for record in caplog.records)


def test_a_long_series_is_never_held_as_a_whole(tmp_path: Path) -> None:
    shape, n_volumes = (40, 40, 40), 60
    rng = np.random.default_rng(0)
    values = rng.integers(0, 50, (*shape, n_volumes)).astype(np.float32)
    mini.write_nifti(tmp_path / "long.nii.gz", values)
    flat = np.arange(0, 64_000, 97)
    tracemalloc.start()
    series = read_series(tmp_path / "long.nii.gz", "fix")
    rows = list(masked_volumes(series, flat, "fix"))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 8 * values[..., 0].nbytes < values.nbytes / 7
    expected = values.reshape(-1, n_volumes, order="F")[flat].T
    np.testing.assert_array_equal(np.stack(rows), expected)
