"""What may go wrong with LAION-fMRI in the middle of an import, and odd but right files."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.refusals import refused
from tests.unit.data.fault_server import Faults
from tests.unit.data.fault_server import serving as serving_folder
from tests.unit.data.open import laion_miniature as mini
from tests.unit.data.open.image_service import REQUEST, serving
from tests.unit.data.open.laion_miniature import wanted
from tests.unit.data.open.test_laion import copied, expected_betas

from brainit.data.fetch import remote
from brainit.data.fetch.listing import list_files
from brainit.data.fetch.sources import fetch
from brainit.data.open.laion import import_laion
from brainit.data.open.volume_stream import masked_volumes, read_series

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
KEPT = ".sub.import/sessions/session001.npy"


def test_a_key_that_moves_after_the_listing(
    laion: mini.Miniature,
    in_bucket: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The list names the old key, which is gone; the same command lists anew and continues."""
    in_bucket("laion-moving", laion.bucket)
    old = list(remote.list_s3("s3://laion-moving/derivatives/"))
    key = mini.BETAS.format(2)
    moved = key.replace("glmsingle-tedana", "glmsingle-new")
    served = tmp_path / "served/laion-moving"
    shutil.copytree(laion.bucket, served)
    (served / moved).parent.mkdir(parents=True)
    (served / key).rename(served / moved)
    new = [(moved if name == key else name, n_bytes) for name, n_bytes in old]
    lists, faults = [old, new], Faults()
    with serving_folder(tmp_path / "served", faults) as root:
        monkeypatch.setenv("AWS_ENDPOINT_URL", root)
        remote._s3_client.cache_clear()
        monkeypatch.setattr("brainit.data.fetch.listing.list_s3", lambda url: iter(lists[0]))
        ask = wanted(laion, source="s3://laion-moving", accepts_terms=True)
        with refused("network", key, "404", "lists the bucket anew"):
            import_laion(ask, tmp_path / "sub")
        assert (tmp_path / KEPT).is_file()
        del lists[0]
        faults.asked.clear()
        import_laion(ask, tmp_path / "sub")
    assert not any(Path(mini.BETAS.format(1)).name == name for name, _ in faults.asked)
    betas = np.load(tmp_path / "sub/betas.npy")
    np.testing.assert_array_equal(betas, expected_betas(laion, [1, 2]).astype(np.float32))


def test_a_request_revoked_in_the_middle_of_a_download(
    laion: mini.Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images' link ends after 4 KiB, its renewal is refused; later they continue there."""
    monkeypatch.setattr(remote, "BLOCK_BYTES", 512)
    with serving(laion.images.parent) as (address, service):
        service.bytes_per_link, service.refuse_after = 4096, 4
        ask = wanted(laion, images=None, request=REQUEST, service=address)
        with refused("terms", "revoked"):
            import_laion(ask, tmp_path / "sub")
        assert service.n_links == 4 and service.starts == [0, 0], "the table, then the images"
        assert not (tmp_path / "sub").exists() and (tmp_path / KEPT).is_file()
        service.starts.clear()
        service.bytes_per_link = service.refuse_after = None
        import_laion(ask, tmp_path / "sub")
        assert max(service.starts) >= 4096, "what was fetched is kept"
    for name in mini.NAMES:
        assert (tmp_path / "sub/images" / name).is_file()


@pytest.mark.parametrize(
    ("in_names", "asked"),
    [("laion-general", "LaionGeneral"), ("laiongeneral", "laion-general")],
)
def test_labels_with_and_without_hyphens(
    laion: mini.Miniature, tmp_path: Path, in_names: str, asked: str
) -> None:
    other = copied(laion, tmp_path / "other")
    path = other.bucket / mini.MASK.format("laion-general")
    path.rename(other.bucket / mini.MASK.format(in_names))
    import_laion(wanted(other, masks=(asked,), sessions=(1,)), tmp_path / "sub")
    finite = np.isfinite(expected_betas(laion, [1, 2])).all()
    assert finite and np.load(tmp_path / "sub/betas.npy").shape[1] == laion.mask.sum() - 1


def test_a_bucket_whose_keys_have_blanks(in_bucket: Callable[..., Any], tmp_path: Path) -> None:
    names = ["a b/Screenshot 2024-05-06 at 14.45.09.jpg", "a b/fruit .jpg", "a b/50% + x.jpg"]
    for number, name in enumerate(names):
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(bytes([number]) * (number + 1))
    in_bucket("blanks", tmp_path / "folder")
    for source in ("s3://blanks", str(tmp_path / "folder")):
        found = {file.key: file.n_bytes for file in list_files(source, "a b/")}
        assert found == {name: number + 1 for number, name in enumerate(names)}
        for number, name in enumerate(names):
            fetch(source, name, tmp_path / "got")
            assert (tmp_path / "got").read_bytes() == bytes([number]) * (number + 1)
            (tmp_path / "got").unlink()


@pytest.mark.parametrize("dtype", ["|u1", "<i2", "<u2", "<i4", "<f4", "<f8"])
@pytest.mark.parametrize(("slope", "inter"), [(0.5, -3.0), (0.0, 7.0), (np.nan, np.nan)])
def test_every_dtype_and_scaling(tmp_path: Path, dtype: str, slope: float, inter: float) -> None:
    """Value = slope raw + inter; by the format a slope of 0 or NaN means no scaling."""
    raw = np.random.default_rng(0).integers(0, 200, (*mini.SHAPE, 4)).astype(dtype)
    path = tmp_path / "scaled.nii.gz"
    mini.write_scaled(path, raw, slope, inter)
    factor, offset = (slope, inter) if slope == 0.5 else (1.0, 0.0)
    flat = np.array([0, 5, 41, 209])
    found = np.stack(list(masked_volumes(read_series(path, "fix"), flat, "fix")))
    for number in range(4):
        volume = raw[..., number].ravel(order="F").astype(np.float64)
        np.testing.assert_array_equal(found[number], volume[flat] * factor + offset)
