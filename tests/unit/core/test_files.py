"""Files are written atomically; mapped pages can be released."""

import errno
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path, release_pages, sha256_of, write_text


def test_error_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), atomic_path(tmp_path / "x.txt") as partial:
        partial.write_text("half")
        raise ValueError("stop")
    assert not list(tmp_path.iterdir())


def test_full_disk_is_a_pipeline_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "x.txt", "old")
    with pytest.raises(PipelineError) as error, atomic_path(tmp_path / "x.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert error.value.code == "machine" and "full disk" in error.value.found
    assert error.value.where == str(tmp_path / "x.txt") and str(tmp_path) in error.value.fix
    assert (tmp_path / "x.txt").read_text() == "old"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_an_unwritable_folder_is_named(tmp_path: Path, number: int) -> None:
    write_text(tmp_path / "x.txt", "old")
    with pytest.raises(PipelineError) as error, atomic_path(tmp_path / "x.txt") as partial:
        raise OSError(number, os.strerror(number), str(partial))
    assert error.value.code == "machine" and os.strerror(number) in error.value.found
    assert error.value.where == str(tmp_path / "x.txt") and str(tmp_path) in error.value.fix
    assert (tmp_path / "x.txt").read_text() == "old"


def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "a file")
    for path in (tmp_path / "a/x.txt", tmp_path / "a/b/x.txt"):
        with pytest.raises(PipelineError) as error:
            write_text(path, "text")
        assert error.value.code == "machine" and error.value.where == str(path)


def test_other_os_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), atomic_path(tmp_path / "x.txt"):
        raise PermissionError(errno.EACCES, "no", str(tmp_path / "read_from.txt"))


def test_folder_is_replaced_whole(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with atomic_path(tmp_path / "folder") as partial:
            partial.mkdir()
            (partial / name).write_text(name)
    assert [entry.name for entry in (tmp_path / "folder").iterdir()] == ["b"]


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc" * 1_000_000)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


def resident_file_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssFile:")[1].split()[0]) << 10


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_released_pages_leave_memory_and_read_the_same(tmp_path: Path, mode: str) -> None:
    values = np.arange(4 << 20, dtype=np.int64)
    np.save(tmp_path / "a.npy", values)
    mapped = np.load(tmp_path / "a.npy", mmap_mode=mode)
    if mode == "r+":
        mapped[5] = values[5] = -1
    before = resident_file_bytes()
    assert mapped.sum() == values.sum()
    assert resident_file_bytes() - before > values.nbytes // 2
    release_pages(mapped)
    assert resident_file_bytes() - before < values.nbytes // 8
    np.testing.assert_array_equal(mapped, values)


def test_an_array_in_memory_has_nothing_to_release() -> None:
    values = np.arange(5)
    release_pages(values)
    assert values.tolist() == [0, 1, 2, 3, 4]
