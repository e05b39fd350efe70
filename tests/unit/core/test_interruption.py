"""Signals end a step outside a training loop, are recorded inside one; handlers are restored."""

import signal
import threading
from collections.abc import Iterator

import pytest

from brainit.core.cli import guarded
from brainit.core.interruption import (
    EXIT_INTERRUPTED,
    SIGNALS,
    Interrupted,
    deferred_signals,
    stop_on_signals,
)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signal_ends_a_step_with_its_own_status(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    stop_on_signals()
    assert guarded(lambda argv: signal.raise_signal(number)) == EXIT_INTERRUPTED
    said = capsys.readouterr().err
    assert said.startswith(f"INTERRUPTED: interrupted by {number.name}")
    assert said.endswith("the same command continues\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signal_is_only_recorded_within_the_block(number: signal.Signals) -> None:
    stop_on_signals()
    with deferred_signals() as seen:
        assert seen() is None
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)
        assert seen() == number.name
    with pytest.raises(Interrupted):
        signal.raise_signal(number)


def test_no_except_clause_for_errors_swallows_it() -> None:
    assert not issubclass(Interrupted, Exception)


def test_other_threads_leave_the_handlers_alone() -> None:
    before, found = signal.getsignal(signal.SIGTERM), []

    def run() -> None:
        with deferred_signals() as seen:
            found.append((seen(), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [(None, before)]
