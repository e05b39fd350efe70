"""Files appear whole or not at all."""

import errno
import hashlib
from pathlib import Path

import pytest

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path, sha256_of, write_text


def test_error_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), atomic_path(tmp_path / "x.txt") as partial:
        partial.write_text("half")
        raise ValueError("stop")
    assert not list(tmp_path.iterdir())


def test_full_disk_is_a_pipeline_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "x.txt", "old")
    with pytest.raises(PipelineError, match="room on the disk"), atomic_path(tmp_path / "x.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (tmp_path / "x.txt").read_text() == "old"


def test_other_os_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), atomic_path(tmp_path / "x.txt"):
        raise PermissionError("no")


def test_folder_is_replaced_whole(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with atomic_path(tmp_path / "folder") as partial:
            partial.mkdir()
            (partial / name).write_text(name)
    assert [entry.name for entry in (tmp_path / "folder").iterdir()] == ["b"]


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc" * 1_000_000)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
