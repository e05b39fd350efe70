"""Sharded arrays are read by row; incomplete ones are refused."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from brainit.core.errors import PipelineError
from brainit.core.shards import ShardedArray, shard_ranges, write_rows, write_shards


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = np.arange(70, dtype=np.float16).reshape(10, 7)
    write_shards(tmp_path / "a", (rows[i:j] for i, j in shard_ranges(10, 4)), {"unit": "z"})
    return tmp_path / "a"


def test_rows_in_any_order_with_repeats(folder: Path) -> None:
    array = ShardedArray(folder)
    index = np.array([9, 0, 3, 4, 4, 8])
    expected = np.stack([np.arange(7) + 7 * i for i in index])
    assert np.array_equal(array.rows(index), expected)
    assert len(array) == 10
    assert array.attributes == {"unit": "z"}
    assert [p.name for p in sorted(folder.glob("*.npy"))] == [f"shard_00{i}.npy" for i in range(3)]


@pytest.mark.parametrize("n_rows", [1, 8, 10])
def test_rows_as_they_come_give_the_bytes_of_whole_shards(tmp_path: Path, n_rows: int) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (n_rows, 5, 3), dtype=np.uint8)
    whole, streamed = tmp_path / "whole", tmp_path / "streamed"
    write_shards(whole, (rows[i:j] for i, j in shard_ranges(n_rows, 4)), {"side": 5})
    write_rows(streamed, iter(rows), 4, {"side": 5})
    names = sorted(path.name for path in whole.iterdir())
    assert sorted(path.name for path in streamed.iterdir()) == names
    for name in names:
        assert (streamed / name).read_bytes() == (whole / name).read_bytes()


def test_rows_that_end_in_an_error_leave_no_half_shard(tmp_path: Path) -> None:
    def rows() -> Iterator[np.ndarray]:
        yield from np.zeros((5, 2), dtype=np.float16)
        raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable"):
        write_rows(tmp_path / "a", rows(), 4)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["shard_000.npy"]


@pytest.mark.parametrize("write", [write_shards, lambda *words: write_rows(*words, 4)])
def test_the_index_of_an_earlier_array_is_removed_before_its_shards(
    folder: Path, write: Callable[[Path, Iterator[np.ndarray]], None]
) -> None:
    def failing() -> Iterator[np.ndarray]:
        raise OSError("unreadable")
        yield

    with pytest.raises(OSError, match="unreadable"):
        write(folder, failing())
    with pytest.raises(PipelineError) as error:
        ShardedArray(folder)
    assert error.value.code == "missing-file" and error.value.where.endswith("shards.json")


def test_no_rows(folder: Path) -> None:
    assert ShardedArray(folder).rows(np.array([], dtype=np.int64)).shape == (0, 7)


@pytest.mark.parametrize("index", [-1, 10])
def test_row_out_of_range(folder: Path, index: int) -> None:
    with pytest.raises(PipelineError) as error:
        ShardedArray(folder).rows(np.array([index]))
    assert error.value.code == "inconsistent-inputs"
    assert "0..9" in error.value.expected and error.value.found == f"{index}..{index}"


def test_truncated_shard(folder: Path) -> None:
    path = folder / "shard_001.npy"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(PipelineError) as error:
        ShardedArray(folder)
    assert error.value.code == "damaged-file" and error.value.where == str(path)
    assert str(folder) in error.value.fix


def test_shard_of_other_shape(folder: Path) -> None:
    np.save(folder / "shard_000.npy", np.zeros((4, 6), dtype=np.float16))
    with pytest.raises(PipelineError) as error:
        ShardedArray(folder)
    assert error.value.code == "wrong-shape"
    assert "(4, 7)" in error.value.expected and "(4, 6)" in error.value.found


def test_unfinished_array(folder: Path) -> None:
    (folder / "shards.json").unlink()
    with pytest.raises(PipelineError) as error:
        ShardedArray(folder)
    assert error.value.code == "missing-file" and error.value.where.endswith("shards.json")
