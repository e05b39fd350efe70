"""Checkpoints: exact, at most two, the newest intact one of the same digest, no leftovers."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from brainit.core.checkpoints import Checkpoint, CheckpointFolder


def checkpoint(number: int) -> Checkpoint:
    tensors = {
        "model/0": torch.full((3, 4), number / 3).T,
        "step": torch.tensor(float(number)),
        "half": torch.full((5,), number / 3, dtype=torch.bfloat16),
        "generator": torch.Generator().manual_seed(number).get_state(),
    }
    return Checkpoint(tensors, {"loss": number / 3, "best": float("inf"), "rows": [[1, 0.1]]})


def written(folder: Path, *numbers: int) -> CheckpointFolder:
    checkpoints = CheckpointFolder(folder, "digest")
    for number in numbers:
        checkpoints.write(checkpoint(number))
    return checkpoints


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def found_number(folder: Path) -> float | None:
    found = CheckpointFolder(folder, "digest").newest()
    return None if found is None else float(found.tensors["step"])


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    written(tmp_path, 7)
    found, expected = CheckpointFolder(tmp_path, "digest").newest(), checkpoint(7)
    assert found is not None and found.values == expected.values
    assert found.tensors.keys() == expected.tensors.keys()
    for name, tensor in expected.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    written(tmp_path, 1, 2, 3, 4)
    assert names(tmp_path) == [f"checkpoint_00000{k}.{s}" for k in (3, 4) for s in ENDINGS]
    assert found_number(tmp_path) == 4


ENDINGS = ("json", "safetensors")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def damage(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-8] + bytes(255 - byte for byte in content[-8:]))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("tear", [truncate, damage, Path.unlink])
def test_a_torn_checkpoint_loses_to_the_one_before(
    ending: str, tear: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path, 1, 2)
    tear(tmp_path / f"checkpoint_000002.{ending}")
    assert found_number(tmp_path) == 1
    [line] = caplog.messages
    assert "checkpoint_000002.safetensors" in line and "incomplete" in line


def test_after_a_torn_one_the_intact_one_is_kept(tmp_path: Path) -> None:
    written(tmp_path, 1, 2)
    truncate(tmp_path / "checkpoint_000002.safetensors")
    checkpoints = CheckpointFolder(tmp_path, "digest")
    assert checkpoints.newest() is not None
    checkpoints.write(checkpoint(9))
    assert names(tmp_path) == [f"checkpoint_00000{k}.{s}" for k in (1, 3) for s in ENDINGS]


def test_another_digest_is_ignored_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path, 1)
    with caplog.at_level(logging.INFO):
        assert CheckpointFolder(tmp_path, "other").newest() is None
    [line] = caplog.messages
    assert "checkpoint_000001.safetensors" in line and "settings, inputs or code" in line


def test_the_next_write_removes_partial_files_of_killed_writers(tmp_path: Path) -> None:
    written(tmp_path, 1)
    (tmp_path / ".checkpoint_000002.safetensors.77.part.safetensors").write_bytes(b"half")
    checkpoints = CheckpointFolder(tmp_path, "digest")
    assert checkpoints.newest() is not None
    checkpoints.write(checkpoint(2))
    assert names(tmp_path) == [f"checkpoint_00000{k}.{s}" for k in (1, 2) for s in ENDINGS]


def test_a_failed_write_leaves_the_newest(tmp_path: Path) -> None:
    checkpoints = written(tmp_path, 1, 2)
    bad = Checkpoint({"a": torch.zeros(2)}, {"not JSON": object()})
    with pytest.raises(TypeError):
        checkpoints.write(bad)
    assert found_number(tmp_path) == 2


def test_files_hold_no_pickle(tmp_path: Path) -> None:
    written(tmp_path, 1)
    header = (tmp_path / "checkpoint_000001.safetensors").read_bytes()
    length = int.from_bytes(header[:8], "little")
    assert "step" in json.loads(header[8 : 8 + length])
    assert json.loads((tmp_path / "checkpoint_000001.json").read_text())["digest"] == "digest"


def test_an_empty_or_absent_folder_has_none(tmp_path: Path) -> None:
    checkpoints = CheckpointFolder(tmp_path / "none", "digest")
    assert checkpoints.newest() is None
    checkpoints.write(checkpoint(1))
    checkpoints.remove()
    assert not (tmp_path / "none").exists()
