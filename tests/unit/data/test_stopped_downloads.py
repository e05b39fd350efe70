"""Transfers at the same time: a refusal or an interruption of one ends all, and parts stay."""

import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from tests.unit.data.fault_server import Faults, serving

from brainit.core.errors import PipelineError
from brainit.data.fetch import part_files, sources, transfers
from brainit.data.fetch.part_files import ProgressCallback
from brainit.data.fetch.sources import fetch, source_files
from brainit.data.fetch.threads import Stopped, run_all
from brainit.data.fetch.transfers import Fetched, download_file
from brainit.data.nsd import download
from brainit.data.nsd.download import FileToFetch, fetch_all

CONTENT = np.random.default_rng(0).bytes(20 << 20)
"""At 1 ms for each 4 KiB it takes seconds to come."""


@pytest.fixture
def faults() -> Faults:
    return Faults(block_wait_s=1.0e-3)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a transfer that does not end by itself be waited for, and so fetch its file whole."""
    for module in (download, sources):
        monkeypatch.setattr(module, "run_all", partial(run_all, patience_s=None))


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Let SIGINT interrupt this process, also where it was started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def root(tmp_path: Path, faults: Faults) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    for name in ("slow", "other"):
        (tmp_path / "served" / name).write_bytes(CONTENT if name == "slow" else b"other")
    with serving(tmp_path / "served", faults) as address:
        yield address


def get_all(root: str, work: Path, connections: int, begun: Event, when_begun: str) -> None:
    """Fetch `slow`, and `other` once the first bytes of it are there."""

    def slow(target: Path, on_bytes: ProgressCallback, stop: Event) -> Fetched | None:
        def count(n_bytes: int) -> None:
            on_bytes(n_bytes)
            begun.set()

        return fetch(root, "slow", target, count, stop, connections=connections)

    def other(target: Path, on_bytes: ProgressCallback, stop: Event) -> Fetched | None:
        assert begun.wait(60.0)
        if when_begun == "interrupt":
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            assert stop.wait(60.0)
        return fetch(root, "other", target, on_bytes, stop)

    out = work.with_name("out")
    files = [FileToFetch(get.__name__, root, out / get.__name__, get) for get in (slow, other)]
    fetch_all(files, work, 2, work.with_name("manifest.json"))


@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize("cause", ["refuse", "interrupt"])
def test_the_end_of_one_ends_all_and_a_rerun_continues(
    root: str,
    faults: Faults,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cause: str,
    connections: int,
) -> None:
    monkeypatch.setattr(part_files, "PIECE_BYTES", 4 << 20)
    work = tmp_path / "work"
    if cause == "refuse":
        faults.status["other"] = 403
    with pytest.raises(PipelineError if cause == "refuse" else KeyboardInterrupt) as error:
        get_all(root, work, connections, Event(), cause)
    if isinstance(error.value, PipelineError):
        assert error.value.code == "network" and "HTTP 403" in error.value.found
    assert 0 < faults.n_sent < len(CONTENT) // 2
    assert (work / ".slow.part").is_file() and not (tmp_path / "out").exists()

    faults.status.clear()
    faults.block_wait_s, n_before = 0.0, len(faults.asked)
    get_all(root, work, connections, Event(), "go on")
    assert (tmp_path / "out/slow").read_bytes() == CONTENT
    wishes = [wish for name, wish in faults.asked[n_before:] if name == "slow"]
    assert wishes and "" not in wishes


def test_a_refusal_ends_what_is_opened_beside_it(root: str, faults: Faults, tmp_path: Path) -> None:
    faults.status["other"] = 403
    with (
        pytest.raises(PipelineError) as error,
        source_files(root, ["slow", "other"], tmp_path / "work"),
    ):
        pass
    assert error.value.code == "network" and "HTTP 403" in error.value.found
    assert faults.n_sent < len(CONTENT) // 2


def test_a_transfer_that_waits_to_try_again_is_woken(
    root: str, faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "_FIRST_WAIT_S", 1000.0)
    monkeypatch.setattr(transfers, "_LONGEST_WAIT_S", 1000.0)
    faults.unavailable["slow"] = 1000
    stop, waits = Event(), Event()
    monkeypatch.setattr(transfers._Transfer, "_log_retry", lambda *args: waits.set())

    def set_once_it_waits() -> None:
        assert waits.wait(60.0)
        stop.set()

    thread = threading.Thread(target=set_once_it_waits)
    thread.start()
    with pytest.raises(Stopped):
        download_file(f"{root}/slow", tmp_path / "slow", stop=stop)
    thread.join()
    assert [name for name, _ in faults.asked] == ["slow"]


def test_a_copy_ends_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"content")
    stop = Event()
    get = partial(fetch, str(tmp_path), "file", tmp_path / "copy", stop=stop, link=False)
    get()
    assert (tmp_path / "copy").read_bytes() == b"content"
    (tmp_path / "copy").unlink()
    stop.set()
    with pytest.raises(Stopped):
        get()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_call_that_looks_at_nothing_holds_nobody_up() -> None:
    goes_on = Event()

    def fail() -> None:
        raise PipelineError("a", "b", "c", "d", code="network")

    with pytest.raises(PipelineError):
        run_all([lambda: goes_on.wait(60.0), fail], 2, Event(), patience_s=0.01)
    assert not goes_on.is_set()
    goes_on.set()


def test_results_are_in_the_order_of_the_calls() -> None:
    second = Event()

    def first() -> int:
        assert second.wait(60.0)
        return 1

    def later() -> int:
        second.set()
        return 2

    assert run_all([first, later, lambda: 3], 2, Event()) == [1, 2, 3]
    assert run_all([], 2, Event()) == []


def test_the_first_failure_is_raised_and_nothing_begins_after_it() -> None:
    begun: list[int] = []
    stop = Event()

    def fail() -> None:
        raise PipelineError("first", "b", "c", "d", code="network")

    def end() -> None:
        assert stop.wait(60.0)
        raise Stopped("x")

    with pytest.raises(PipelineError) as error:
        run_all([fail, lambda: begun.append(1), lambda: begun.append(2)], 1, Event())
    assert error.value.where == "first" and not begun
    with pytest.raises(PipelineError) as error:
        run_all([end, fail, end], 3, stop)
    assert error.value.where == "first"
