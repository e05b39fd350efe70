"""A large file over several connections: the same bytes, also under faults, kills and changes."""

import errno
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.unit.data.fault_server import Faults, hurry, serving_file

from brainit.core.errors import PipelineError
from brainit.data.fetch import part_files, transfers
from brainit.data.fetch.transfers import download_file

PIECE = 30_000
CONTENT = np.random.default_rng(0).bytes(10 * PIECE + 1234)
N_PIECES = 11


@pytest.fixture
def url(tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    hurry(monkeypatch, block_bytes=4096)
    monkeypatch.setattr(part_files, "PIECE_BYTES", PIECE)
    with serving_file(tmp_path, CONTENT, faults) as address:
        yield address


def spans(faults: Faults) -> set[str]:
    return {wish for _, wish in faults.asked if wish}


def test_pieces_come_at_the_same_time_and_make_the_file(
    url: str, faults: Faults, tmp_path: Path
) -> None:
    faults.block_wait_s = 2.0e-3
    received: list[int] = []
    fetched = download_file(url, tmp_path / "out/file", on_bytes=received.append, connections=4)
    assert (tmp_path / "out/file").read_bytes() == CONTENT
    assert fetched.n_bytes == len(CONTENT) == sum(received)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["file"]
    firsts = [number * PIECE for number in range(N_PIECES)]
    ends = [*(first - 1 for first in firsts[1:]), len(CONTENT) - 1]
    assert spans(faults) == {f"bytes={a}-{b}" for a, b in zip(firsts, ends, strict=True)}
    assert 3 <= faults.most_open["file"] <= 5  # the first, unranged answer may still be closing


@pytest.mark.parametrize("connections", [1, 4])
def test_small_files_and_one_connection_ask_for_no_range(
    url: str, faults: Faults, tmp_path: Path, connections: int
) -> None:
    content = CONTENT if connections == 1 else CONTENT[: 2 * PIECE - 1]
    (tmp_path / "served/file").write_bytes(content)
    download_file(url, tmp_path / "file", connections=connections)
    assert (tmp_path / "file").read_bytes() == content
    assert faults.asked == [("file", "")]


def test_broken_connections_are_continued_at_their_byte(
    url: str, faults: Faults, tmp_path: Path
) -> None:
    faults.cut_after["file"], faults.cuts = 8192, Counter(file=5)
    received: list[int] = []
    download_file(url, tmp_path / "file", on_bytes=received.append, connections=3)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert sum(received) == len(CONTENT) and min(received) >= 0
    assert any(int(wish[6:].split("-")[0]) % PIECE == 8192 for wish in spans(faults))


def test_a_server_that_goes_down_and_stays_down(url: str, faults: Faults, tmp_path: Path) -> None:
    faults.unavailable = Counter(file=transfers._ATTEMPTS - 1)
    download_file(url, tmp_path / "file", connections=3)
    assert (tmp_path / "file").read_bytes() == CONTENT
    faults.unavailable = Counter(file=100)
    with pytest.raises(PipelineError) as error:
        download_file(url, tmp_path / "other", connections=3)
    assert error.value.code == "network"
    assert "HTTP 503" in error.value.found and "6 times" in error.value.found


def test_a_server_that_ignores_ranges_gives_the_file_over_one_connection(
    url: str, faults: Faults, tmp_path: Path
) -> None:
    faults.ignores_ranges.add("file")
    received: list[int] = []
    download_file(url, tmp_path / "file", on_bytes=received.append, connections=3)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert sum(received) == len(CONTENT)
    assert faults.asked[-1] == ("file", "")


def interrupted(url: str, target: Path) -> list[int]:
    """Break off after some pieces; return the bytes that are noted of each."""
    received: list[int] = []

    def interrupt(n_bytes: int) -> None:
        received.append(n_bytes)
        if sum(received) > 4 * PIECE:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download_file(url, target, on_bytes=interrupt, connections=3)
    assert not target.exists()
    pieces: list[int] = json.loads(target.with_name(f".{target.name}.part.json").read_text())[
        "pieces"
    ]
    assert 4 * PIECE < sum(pieces) < 6 * PIECE
    return pieces


@pytest.mark.parametrize("connections", [1, 3])
def test_an_interrupted_download_fetches_only_the_rest(
    url: str, faults: Faults, tmp_path: Path, connections: int
) -> None:
    pieces = interrupted(url, tmp_path / "file")
    before = len(faults.asked)
    received: list[int] = []
    download_file(url, tmp_path / "file", on_bytes=received.append, connections=connections)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert received[0] == sum(pieces) and sum(received) == len(CONTENT)
    wholes = [PIECE] * (N_PIECES - 1) + [len(CONTENT) % PIECE]
    expected = {
        f"bytes={number * PIECE + there}-{number * PIECE + whole - 1}"
        for number, (there, whole) in enumerate(zip(pieces, wholes, strict=True))
        if there < whole
    }
    assert {wish for _, wish in faults.asked[before:]} == expected


def test_a_file_that_changed_meanwhile_is_fetched_anew(
    url: str, faults: Faults, tmp_path: Path
) -> None:
    interrupted(url, tmp_path / "file")
    other = CONTENT[::-1]
    (tmp_path / "served/file").write_bytes(other)
    received: list[int] = []
    download_file(url, tmp_path / "file", on_bytes=received.append, connections=3)
    assert (tmp_path / "file").read_bytes() == other
    assert sum(received) == len(other)


def test_a_file_that_changes_between_two_pieces_is_not_patched_together(
    url: str, faults: Faults, tmp_path: Path
) -> None:
    faults.changes_after_first["file"] = CONTENT[::-1]
    download_file(url, tmp_path / "file", connections=3)
    assert (tmp_path / "file").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("spoil", ["note", "size"])
def test_pieces_of_unknown_origin_are_given_up(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    interrupted(url, tmp_path / "file")
    if spoil == "note":
        (tmp_path / ".file.part.json").write_text("{")
    else:
        monkeypatch.setattr(part_files, "PIECE_BYTES", PIECE // 2)
    download_file(url, tmp_path / "file", connections=3)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_refusal_ends_all(url: str, faults: Faults, tmp_path: Path) -> None:
    interrupted(url, tmp_path / "file")
    faults.status["file"] = 403
    before = len(faults.asked)
    with pytest.raises(PipelineError) as error:
        download_file(url, tmp_path / "file", connections=3)
    assert error.value.code == "network" and "HTTP 403" in error.value.found
    assert len(faults.asked) - before <= 3
    faults.status.clear()
    download_file(url, tmp_path / "file", connections=3)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_disk_that_fills_up_keeps_what_has_come(url: str, faults: Faults, tmp_path: Path) -> None:
    received: list[int] = []

    def fill_up(n_bytes: int) -> None:
        received.append(n_bytes)
        if sum(received) > 4 * PIECE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(PipelineError) as error:
        download_file(url, tmp_path / "file", on_bytes=fill_up, connections=3)
    assert error.value.code == "machine" and os.strerror(errno.ENOSPC) in error.value.found
    again: list[int] = []
    download_file(url, tmp_path / "file", on_bytes=again.append, connections=3)
    assert again[0] > 4 * PIECE
    assert (tmp_path / "file").read_bytes() == CONTENT
