"""An error of the machine is never told as damage, and no message then advises to delete a file."""

import builtins
import errno
import fcntl
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors import SafetensorError
from tests.unit.data.tiny_nsd import TinyNsd, write_tiny_nsd

from brainit.core.artifacts import read_artifact, read_table, write_artifact
from brainit.core.checkpoints import Checkpoint, CheckpointFolder
from brainit.core.cli import EXIT_PIPELINE_ERROR, guarded
from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path, reserve_room
from brainit.core.reading import machine_error, reading
from brainit.core.settings import ImageSettings, NsdSettings
from brainit.core.shards import ShardedArray, write_shards
from brainit.data.fetch.part_files import PartFile
from brainit.data.image_files import stimulus_rows
from brainit.data.lab import layout
from brainit.data.matlab_files import read_mat
from brainit.data.nsd.design import prepare_design
from brainit.data.nsd.masks import read_label
from brainit.data.nsd.mgh import read_mgh_header
from brainit.data.recons import read_recons, write_recons
from brainit.evaluation.truth import read_scenes
from brainit.features.checkpoint_reader import read_tensors
from brainit.features.weights_file import read_network

NUMBERS = (errno.ENOLCK, errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> TinyNsd:
    return write_tiny_nsd(tmp_path_factory.mktemp("machine") / "nsd")


@pytest.fixture(scope="module")
def files(tree: TinyNsd, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write a good file for each reader."""
    folder = tmp_path_factory.mktemp("files")
    write_shards(folder / "shards", iter([np.zeros((2, 3), np.uint8)]))
    places = np.zeros((1, 8, 8, 3), np.uint8)
    write_recons(folder / "run", np.array([3]), {"fused": places}, Image.new("RGB", (4, 4)), {})
    table = pd.DataFrame({"trial": [0], "session": [1], "run": [1], "image": ["a"]})
    table.to_csv(folder / layout.TRIALS, index=False)
    np.save(folder / layout.BETAS, np.ones((2, 2), np.float32))
    voxels = {"published": np.zeros(2, np.float32), "recomputed": np.zeros(2, np.float32)}
    attributes = {"subject": "subj01", "n_repeats": 3}
    write_artifact(folder / "ceiling.safetensors", "noise_ceiling", voxels, attributes)
    (folder / "scenes.json").write_text("{}")
    return {"folder": folder, "ceiling": folder / "ceiling.safetensors"}


READERS: dict[str, Callable[[TinyNsd, Path], Any]] = {
    "stimuli": lambda tree, _: list(stimulus_rows(tree.stimuli_path, ImageSettings(stored_size=8))),
    "design": lambda tree, _: read_mat(tree.expdesign_path, "delete it"),
    "responses": lambda tree, _: prepare_design(tree.root, "subj01", NsdSettings(), 1),
    "label": lambda tree, _: read_label(tree.label_path("lh")),
    "mgh": lambda tree, _: read_mgh_header(tree.betas_path("subj01", "lh", 1)),
    "recons": lambda _, folder: read_recons(folder / "run"),
    "shards": lambda _, folder: ShardedArray(folder / "shards"),
    "trials": lambda _, folder: layout.read_trials(folder),
    "table": lambda _, folder: read_table(folder / layout.TRIALS, (), "make_it"),
    "betas": lambda _, folder: layout.open_betas(folder),
    "scenes": lambda _, folder: read_scenes(folder),
}


def refuse_to_open(
    monkeypatch: pytest.MonkeyPatch, number: int, *, spared: tuple[str, ...] = ()
) -> None:
    """Let each call that opens a file to read it fail with this number."""

    def refuse(*args: Any, **_: Any) -> Any:
        raise OSError(number, os.strerror(number), str(args[0]))

    def opened(real: Callable[..., Any]) -> Callable[..., Any]:
        def checked(file: Any, mode: str = "r", *args: Any, **words: Any) -> Any:
            is_read = isinstance(file, str | Path) and not set("wax+") & set(mode)
            if is_read and not str(file).endswith(spared or ("\0",)):
                refuse(file)
            return real(file, mode, *args, **words)

        return checked

    monkeypatch.setattr(builtins, "open", opened(builtins.open))
    monkeypatch.setattr(io, "open", opened(io.open))
    monkeypatch.setattr(h5py, "File", refuse)


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_advises_to_delete_what_the_machine_cannot_read(
    reader: str, tree: TinyNsd, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    READERS[reader](tree, files["folder"])  # reads the good file
    for number in NUMBERS:
        with monkeypatch.context() as patch, pytest.raises(PipelineError) as error:
            refuse_to_open(patch, number)
            READERS[reader](tree, files["folder"])
        assert error.value.code == "machine"
        assert os.strerror(number) in error.value.found
        assert not {"delete", "download", "rerun"} & set(error.value.fix.split())


@pytest.mark.parametrize("number", [errno.ETIMEDOUT, errno.ENAMETOOLONG, errno.EIO, errno.EACCES])
def test_a_file_whose_state_cannot_be_asked_is_an_error_of_the_machine(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Path.is_dir raises such numbers again on Python 3.11."""

    def refuse(path: Any, *_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patch, pytest.raises(PipelineError) as error:
        patch.setattr(os, "stat", refuse)
        with reading(tmp_path / "a.csv", "a table", "delete it", ValueError):
            refuse(tmp_path / "a.csv")
    assert error.value.code == "machine" and os.strerror(number) in error.value.found
    assert "delete" not in error.value.fix
    with monkeypatch.context() as patch, pytest.raises(PipelineError) as error:
        patch.setattr(os, "stat", refuse)
        with reading(tmp_path / "a.csv", "a table", "mend it", ValueError):
            raise ValueError("of the content")
    assert error.value.code == "damaged-file"


def test_a_folder_that_cannot_be_listed_is_not_of_the_wrong_kind(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as error, reading(tmp_path, "a folder", "name another"):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))
    assert error.value.code == "machine"
    with pytest.raises(PipelineError) as error, reading(tmp_path, "a file", "name a file"):
        raise OSError(errno.ENODEV, "No such device", str(tmp_path))  # maps a folder
    assert error.value.code == "wrong-kind"


def test_a_held_lock_and_a_file_system_without_locks_have_fixes_of_their_own() -> None:
    held, none = (machine_error("x.h5", "a file", n).fix for n in (errno.EAGAIN, errno.ENOLCK))
    assert "mount" not in held and "process" in held and "ulimit -u" in held
    assert "mount" in none


@pytest.mark.parametrize("reader", [read_artifact, read_network, read_tensors])
def test_tensors_that_may_not_be_read(
    reader: Callable[..., Any], files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    for module in ("core.artifacts", "features.weights_file"):
        monkeypatch.setattr(f"brainit.{module}.safe_open", refuse)
    monkeypatch.setattr("brainit.features.checkpoint_reader.load_file", refuse)
    words = () if reader is read_tensors else ("noise_ceiling",)
    with pytest.raises(PipelineError) as error:
        reader(files["ceiling"], *words)
    assert error.value.code == "machine" and "delete" not in error.value.fix


@pytest.fixture
def locked(tree: TinyNsd) -> Iterator[Path]:
    """Hold the lock that HDF5 would ask for, as a file system without locks refuses it."""
    with tree.stimuli_path.open("rb+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield tree.stimuli_path


def test_hdf5_is_read_without_a_lock(locked: Path) -> None:
    with pytest.raises(BlockingIOError):
        h5py.File(locked, "r")
    assert len(list(stimulus_rows(locked, ImageSettings(stored_size=8)))) > 0


def test_an_error_of_the_machine_ends_a_step_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available", "nsd_stimuli.hdf5")

    assert guarded(fail) == EXIT_PIPELINE_ERROR
    told = capsys.readouterr().err
    assert "nsd_stimuli.hdf5" in told and os.strerror(errno.ENOLCK) in told and ". Fix: " in told


def test_memory_and_a_lost_file_end_a_step_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lost = TimeoutError(errno.ETIMEDOUT, "Connection timed out", "betas.hdf5")
    for raised, fact in ((MemoryError(), os.strerror(errno.ENOMEM)), (lost, "betas.hdf5")):

        def fail(_: Any, raised: BaseException = raised) -> None:
            raise raised

        assert guarded(fail) == EXIT_PIPELINE_ERROR
        assert fact in capsys.readouterr().err


FULL_DISK_WORDS = (
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    OSError("Can't synchronously write data (file write failed: errno = 28, error message = ...)"),
)


@pytest.mark.parametrize("raised", [*FULL_DISK_WORDS, None])
def test_a_full_disk_is_told_whichever_library_finds_it(
    raised: Exception | None, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Any) -> None:
        if raised:
            raise raised
        with Path("/dev/full").open("wb", buffering=0) as disk:
            np.ones(1 << 16).tofile(disk)

    assert guarded(fail) == EXIT_PIPELINE_ERROR
    assert "errno 28" in capsys.readouterr().err


def test_a_mapped_file_gets_its_room_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "betas.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype="<f2", shape=(1 << 16, 8))
    assert path.stat().st_blocks * 512 < path.stat().st_size
    reserve_room(path)
    assert path.stat().st_blocks * 512 >= path.stat().st_size

    def refuse(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(PipelineError) as error, atomic_path(tmp_path / "other.npy") as partial:
        partial.touch()
        reserve_room(partial)
    assert error.value.code == "machine" and list(tmp_path.iterdir()) == [path]


def test_other_errors_stay_bugs() -> None:
    def fail(_: Any) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "typo.csv")

    with pytest.raises(FileNotFoundError):
        guarded(fail)

    def lose_server(_: Any) -> None:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    with pytest.raises(TimeoutError):
        guarded(lose_server)


def test_a_checkpoint_that_cannot_be_read_now_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    CheckpointFolder(tmp_path, "d").write(Checkpoint({"a": torch.ones(2)}, {"step": 1}))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with monkeypatch.context() as patch, pytest.raises(PipelineError) as error:
        refuse_to_open(patch, errno.ESTALE)
        CheckpointFolder(tmp_path, "d").newest()
    assert error.value.code == "machine"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    newest = CheckpointFolder(tmp_path, "d").newest()
    assert newest is not None and newest.values == {"step": 1}


def test_part_of_a_download_that_cannot_be_read_now_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    part = PartFile("https://x/y", tmp_path / "y", lambda _: None, threading.Event())
    part.begin('"1"', 10, is_split=False)
    part.path.write_bytes(b"12345")
    again = PartFile("https://x/y", tmp_path / "y", lambda _: None, threading.Event())
    with monkeypatch.context() as patch, pytest.raises(OSError):
        refuse_to_open(patch, errno.EIO)
        again.load()
    assert part.path.read_bytes() == b"12345"
    again.load()
    assert again.n_received == 5
