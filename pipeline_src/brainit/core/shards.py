"""Sharded arrays: consecutive rows in .npy files, written one file at a time and read by row.

A folder holds `shard_000.npy`, `shard_001.npy`, ... and the index `shards.json` (written last: row
counts, dtype, shape, attributes). Shards are memory-mapped: no step holds the whole array.
"""

import json
import math
import mmap
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path, write_text
from brainit.core.reading import open_npy, reading

INDEX_NAME = "shards.json"
_INDEX_ERRORS = (ValueError, TypeError, LookupError, AttributeError, RecursionError)

_LONG_ROW = 1 << 16
"""Bytes of a row that the disk is asked for ahead; a shorter one is a few pages."""


def shard_ranges(n_rows: int, rows_per_shard: int) -> list[tuple[int, int]]:
    """Return the (start, stop) rows of each shard; the last may be shorter."""
    return [(i, min(i + rows_per_shard, n_rows)) for i in range(0, n_rows, rows_per_shard)]


def write_shards(
    folder: Path, blocks: Iterator[NDArray[Any]], attributes: Mapping[str, Any] | None = None
) -> None:
    """Write each block of rows as one shard, then the index."""
    start_shards(folder)
    n_rows: list[int] = []
    row_shape: tuple[int, ...] = ()
    dtype = ""
    for number, block in enumerate(blocks):
        with atomic_path(_shard_path(folder, number)) as partial:
            np.save(partial, block)
        n_rows.append(len(block))
        row_shape, dtype = block.shape[1:], str(block.dtype)
    write_index(folder, n_rows, row_shape, dtype, attributes)


def write_rows(
    folder: Path,
    rows: Iterator[NDArray[Any]],
    rows_per_shard: int,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write the same files as `write_shards` from single rows, with one row in memory."""
    start_shards(folder)
    n_rows: list[int] = []
    row = np.empty(0)
    for number, row in enumerate(rows):
        with new_shard(folder, number, (0, *row.shape), row.dtype) as handle:
            handle.write(row.tobytes())
            n_rows.append(1)
            for other in islice(rows, rows_per_shard - 1):
                handle.write(other.tobytes())
                n_rows[-1] += 1
            # NumPy pads the header, so the number of rows can be filled in at the end.
            handle.seek(0)
            _write_header(handle, (n_rows[-1], *row.shape), row.dtype)
    write_index(folder, n_rows, row.shape, str(row.dtype), attributes)


def start_shards(folder: Path) -> None:
    """Make the folder; remove the index of an earlier array before its shards are overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX_NAME).unlink(missing_ok=True)


@contextmanager
def new_shard(
    folder: Path, number: int, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Iterator[BinaryIO]:
    """Yield an open file, after its header, for the bytes of a shard of `shape` (rows first).

    The shard appears when the block succeeds.
    """
    with atomic_path(_shard_path(folder, number)) as partial, partial.open("wb") as handle:
        _write_header(handle, shape, dtype)
        yield handle


def _shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard_{number:03d}.npy"


def _write_header(handle: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(handle, header)


def write_index(
    folder: Path,
    n_rows: list[int],
    row_shape: tuple[int, ...],
    dtype: str,
    attributes: Mapping[str, Any] | None,
) -> None:
    """Write the index: rows of each shard, shape and dtype of a row, attributes. Call it last."""
    index = {"n_rows": n_rows, "row_shape": list(row_shape), "dtype": dtype}
    write_text(folder / INDEX_NAME, json.dumps({**index, "attributes": dict(attributes or {})}))


def join_shards(folder: Path, parts: Sequence[Path]) -> None:
    """Make `folder` the arrays `parts` one after the other, by links to their shards.

    Links are relative, so that a folder of results may be moved. Whatever one array forbids by
    `private`, the whole does. Raises `PipelineError` for arrays of different rows.
    """
    arrays = [ShardedArray(part) for part in parts]
    kinds = [f"{array.dtype} rows of shape {array.row_shape}" for array in arrays]
    for part, kind in zip(parts, kinds, strict=True):
        if kind != kinds[0]:
            fix = "make all of them with the same images.stored_size"
            raise PipelineError(part, kinds[0], kind, fix, code="inconsistent-inputs")
    start_shards(folder)
    n_rows: list[int] = []
    for array in arrays:
        for place, n in enumerate(np.diff(array._starts).tolist()):
            link = _shard_path(folder, len(n_rows))
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(_shard_path(array.folder, place), folder))
            n_rows.append(n)
    attributes = {"parts": len(parts), **arrays[0].attributes}
    if any(array.attributes.get("private") for array in arrays):
        attributes["private"] = True
    write_index(folder, n_rows, arrays[0].row_shape, str(arrays[0].dtype), attributes)


def link_without(folder: Path, source: Path, left_out: Collection[int]) -> None:
    """Make `folder` the array `source` without the rows `left_out`, by links where it can.

    Only shards that lose rows are written anew, row by row; the others are relative links. The
    attribute `left_out` of the index lists the rows.
    """
    array = ShardedArray(source)
    start_shards(folder)
    gone, n_rows = set(left_out), list[int]()
    for place, start in enumerate(array._starts[:-1].tolist()):
        stop = int(array._starts[place + 1])
        kept = [row for row in range(start, stop) if row not in gone]
        if not kept:
            continue
        shard = _shard_path(folder, len(n_rows))
        shard.unlink(missing_ok=True)
        if len(kept) == stop - start:
            shard.symlink_to(os.path.relpath(_shard_path(array.folder, place), folder))
        else:
            shape = (len(kept), *array.row_shape)
            with new_shard(folder, len(n_rows), shape, array.dtype) as handle:
                for row in kept:
                    handle.write(array.rows(np.array([row])).tobytes())
        n_rows.append(len(kept))
    attributes = {**array.attributes, "left_out": sorted(gone)}
    write_index(folder, n_rows, array.row_shape, str(array.dtype), attributes)


class ShardedArray:
    """Read rows of a sharded array by their numbers.

    Raises `PipelineError` where the index or a shard is missing or has another shape or dtype.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._fix = f"delete {self.folder} and run snakemake again, which rewrites it"
        index_path = self.folder / INDEX_NAME
        with reading(index_path, "the index of a sharded array", self._fix, *_INDEX_ERRORS):
            index = json.loads(index_path.read_text(encoding="utf-8"))
            self.attributes: dict[str, Any] = dict(index["attributes"])
            self.row_shape = tuple(int(length) for length in index["row_shape"])
            self.dtype = np.dtype(index["dtype"])
            n_rows = [int(number) for number in index["n_rows"]]
        self._starts = np.concatenate([[0], np.cumsum(n_rows)]).astype(np.int64)
        self._row_bytes = math.prod(self.row_shape) * self.dtype.itemsize
        opened = [self._open(number, n) for number, n in enumerate(n_rows)]
        # Plain views of the maps, whose rows are taken ten times faster.
        self._shards = [np.asarray(shard) for shard in opened]
        self._maps: list[tuple[mmap.mmap, int]] = [
            (shard.base, shard.offset % mmap.ALLOCATIONGRANULARITY) for shard in opened
        ]

    def _open(self, number: int, n_rows: int) -> Any:
        path = _shard_path(self.folder, number)
        expected = (n_rows, *self.row_shape)
        shard: Any = open_npy(path, f"a readable shard of shape {expected}", self._fix)
        if shard.shape != expected or shard.dtype != self.dtype:
            wanted = f"shape {expected} of {self.dtype}"
            found = f"shape {shard.shape} of {shard.dtype}"
            raise PipelineError(path, wanted, found, self._fix, code="wrong-shape")
        return shard

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _require_rows(self, index: NDArray[np.integer[Any]]) -> None:
        if index.size and (index.min() < 0 or index.max() >= len(self)):
            expected = f"row numbers 0..{len(self) - 1}"
            found = f"{index.min()}..{index.max()}"
            raise PipelineError(self.folder, expected, found, self._fix, code="inconsistent-inputs")

    def rows(self, index: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """Return the rows `index` (any order, repeats allowed) as a new array."""
        index = np.asarray(index, dtype=np.int64)
        self._require_rows(index)
        out = np.empty((len(index), *self.row_shape), dtype=self.dtype)
        shard_of = np.searchsorted(self._starts, index, side="right") - 1
        for number in np.unique(shard_of):
            here = shard_of == number
            out[here] = self._shards[number][index[here] - self._starts[number]]
        return out

    def rows_into(
        self, index: NDArray[np.integer[Any]], out: NDArray[Any], at: NDArray[np.integer[Any]]
    ) -> None:
        """Copy the rows `index` once, to the rows `at` of `out`; raises as `rows` does.

        For rows of some kilobytes and more, whose buffer is used again. The disk is asked for all
        long rows first, which reads them several times as fast as page by page.
        """
        self._require_rows(index)
        shard_of = np.searchsorted(self._starts, index, side="right") - 1
        places = list(
            zip(shard_of.tolist(), (index - self._starts[shard_of]).tolist(), strict=True)
        )
        if self._row_bytes >= _LONG_ROW:
            for number, row in places:
                self._ask_for(number, row)
        for place, (number, row) in zip(at.tolist(), places, strict=True):
            out[place] = self._shards[number][row]

    def _ask_for(self, number: int, row: int) -> None:
        """Ask the system to read a row into its cache, without waiting for it."""
        mapped, offset = self._maps[number]
        first = offset + row * self._row_bytes
        page = first - first % mmap.PAGESIZE
        mapped.madvise(mmap.MADV_WILLNEED, page, first - page + self._row_bytes)
