"""A training interrupted at random steps ends with the bytes of one that never was."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.small_trainings import TRAININGS, Training, encoder, write_data
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from brainit.core.checkpoints import CheckpointFolder
from brainit.core.interruption import Interrupted
from brainit.core.settings import (
    Settings,
    parse_sections,
)
from brainit.training.encoder import EncoderTask
from brainit.training.joint import JointTask
from brainit.training.loader import Loading
from brainit.training.loop import Task
from brainit.training.optimizers import Plateau
from brainit.training.resume import Checkpointer, LoopState, Work, digest_of, resumable
from brainit.training.stage1 import Stage1Task

pytestmark = pytest.mark.xdist_group("resume")  # its fixtures are made once


class Killed(Exception):
    """Simulates the end of a process without warning."""


@contextmanager
def counted_steps(at: dict[int, Callable[[], None]]) -> Iterator[list[int]]:
    """Count optimizer steps in the block, and call `at[k]()` in the k-th (from 1)."""
    counts = [0]

    def hook(*_: object) -> None:
        counts[0] += 1
        at.get(counts[0], lambda: None)()

    handle = register_optimizer_step_post_hook(hook)
    try:
        yield counts
    finally:
        handle.remove()


def told_to_stop() -> None:
    signal.raise_signal(signal.SIGTERM)


def killed() -> None:
    raise Killed


def until_done(
    training: Training, data: Path, work: Path, out: Path, steps: int | None
) -> Iterator[None]:
    """Train again and again, as a cluster does, until the training ends; yield at each end.

    Each job prepares its batches by another number of threads.
    """
    out.mkdir()
    for n_threads in cycle((2, 0, 1)):
        checkpoints = Checkpointer(CheckpointFolder(work, "digest"), minutes=60.0, steps=steps)
        try:
            training(data, checkpoints, out, Loading(n_threads))
            return
        except (Interrupted, Killed):
            yield


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(
    data: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, bytes]]:
    """Return the files of each training without interruptions and without checkpoints."""
    found = {}
    for name, (training, n_steps) in TRAININGS.items():
        out = tmp_path_factory.mktemp(name)
        with counted_steps({}) as counts:
            training(data, Checkpointer(), out)
        assert counts[0] == n_steps
        found[name] = contents(out)
    return found


def test_a_best_epoch_and_a_lower_rate_are_to_be_kept(
    uninterrupted: dict[str, dict[str, bytes]],
) -> None:
    """What the other tests compare is more than the last weights at the first rate."""
    for name, best in (("stage1", "val_loss"), ("encoder", "val_p75_r")):
        history = pd.read_csv(BytesIO(uninterrupted[name]["history.csv"]))
        epoch = history[best].idxmin() if best == "val_loss" else history[best].idxmax()
        assert epoch < len(history) - 1 and history["lr"].iloc[-1] < history["lr"].iloc[0]


@pytest.mark.parametrize("name", TRAININGS)
def test_signals_at_random_steps_leave_the_bytes(
    name: str, data: Path, uninterrupted: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    training, n_steps = TRAININGS[name]
    n_signals = min(10, n_steps - 1)
    rng = np.random.default_rng(len(name))
    chosen = {int(k): told_to_stop for k in rng.permutation(n_steps)[:n_signals] + 1}
    with counted_steps(chosen) as counts:
        ends = list(until_done(training, data, tmp_path / "work", tmp_path / "out", None))
    assert len(ends) == n_signals
    assert counts[0] == n_steps, "no step is done twice"
    assert contents(tmp_path / "out") == uninterrupted[name]


@pytest.mark.parametrize("name", TRAININGS)
def test_kills_at_random_steps_leave_the_bytes(
    name: str, data: Path, uninterrupted: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    training, n_steps = TRAININGS[name]
    rng = np.random.default_rng(len(name))
    chosen = {int(k): killed for k in rng.permutation(n_steps)[:3] + 1}
    with counted_steps(chosen) as counts:
        ends = list(until_done(training, data, tmp_path / "work", tmp_path / "out", 2))
    assert len(ends) == 3
    assert n_steps < counts[0] <= n_steps + 2 * 3, "at most the steps since a checkpoint"
    assert contents(tmp_path / "out") == uninterrupted[name]


def test_jobs_of_at_most_max_hours_leave_the_bytes(
    data: Path, uninterrupted: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    """Each job's hours are over at once: it finishes its step, or epoch, and ends."""
    training, n_steps = TRAININGS["joint_by_adafactor"]
    work, out = tmp_path / "work", tmp_path / "out"
    out.mkdir()
    said, done = [], [0]
    with counted_steps({}) as counts:
        while len(said) < 40:
            folder = CheckpointFolder(work, "digest")
            try:
                training(data, Checkpointer(folder, minutes=60.0, max_hours=1e-9), out)
                break
            except Interrupted as interruption:
                said.append(str(interruption))
                done.append(counts[0])
    assert counts[0] == n_steps == done[-1], "no step is done twice"
    assert set(np.diff(done)) == {0, 1}
    assert set(said) == {
        "interrupted by run.max_hours after a whole optimizer step, its checkpoint is written,"
        " the same command continues"
    }
    assert contents(out) == uninterrupted["joint_by_adafactor"]


def test_hours_come_from_the_work_and_none_is_no_bound(tmp_path: Path) -> None:
    content = LoopState([], torch.optim.AdamW([nn.Parameter(torch.zeros(1))]), Plateau(0, 0.0))
    for hours in (0.0, 1.0):
        with resumable(
            Work(tmp_path, "code", max_hours=hours), Settings(), {}, tmp_path / "history.csv"
        ) as checkpoints:
            assert not checkpoints.is_due(after_step=True)
    work = Work(tmp_path, "code", max_hours=1e-9)
    with (
        pytest.raises(Interrupted),
        resumable(work, Settings(), {}, tmp_path / "history.csv") as checkpoints,
    ):
        assert checkpoints.is_due(after_step=True)
        checkpoints.save(content.checkpoint(None))


def test_a_torn_checkpoint_costs_the_steps_since_the_one_before(
    data: Path, uninterrupted: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    with counted_steps({8: told_to_stop}) as counts:
        ends = until_done(encoder, data, work, tmp_path / "out", 5)
        next(ends)
        newest = max(work.glob("*.safetensors"))
        newest.write_bytes(newest.read_bytes()[:-100])
        assert list(ends) == []
    assert counts[0] == 18 + 3, "continued after step 5, not 8"
    assert contents(tmp_path / "out") == uninterrupted["encoder"]


@pytest.mark.parametrize(
    ("name", "task"), [("stage1", Stage1Task), ("joint", JointTask), ("encoder", EncoderTask)]
)
def test_a_signal_during_validation_is_heeded_after_it(
    name: str,
    task: type[Stage1Task] | type[JointTask] | type[EncoderTask],
    data: Path,
    uninterrupted: dict[str, dict[str, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training, n_steps = TRAININGS[name]
    validate, calls = task.validate, []

    def interrupted(self: Task) -> tuple[float, ...] | None:
        calls.append(1)
        if len(calls) in (2, 5):
            told_to_stop()
        return validate(self)

    monkeypatch.setattr(task, "validate", interrupted)
    with counted_steps({}) as counts:
        ends = list(until_done(training, data, tmp_path / "work", tmp_path / "out", None))
    assert len(ends) == 2 and counts[0] == n_steps
    history = uninterrupted[name]["history.csv"].decode().splitlines()
    assert len(calls) == len(history) - 1, "no epoch is validated twice"
    assert contents(tmp_path / "out") == uninterrupted[name]


def test_checkpoints_go_once_the_outputs_are_written(tmp_path: Path) -> None:
    work = Work(tmp_path / "work", "code")
    folder = CheckpointFolder(work.folder, digest_of(Settings(), "code", {}))
    content = LoopState([], torch.optim.AdamW([nn.Parameter(torch.zeros(1))]), Plateau(0, 0.0))
    folder.write(content.checkpoint(None))
    with (
        pytest.raises(Killed),
        resumable(work, Settings(), {}, tmp_path / "history.csv") as checkpoints,
    ):
        with checkpoints.watching() as found:
            assert found is not None
        raise Killed
    assert work.folder.exists()
    with resumable(work, Settings(), {}, tmp_path / "history.csv"):
        pass
    assert not work.folder.exists()


def test_digest_is_of_all_that_determines_the_result(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("betas.npy", "folder/shard_0.npy", "folder/.snakemake_timestamp"):
        (tmp_path / name).write_bytes(b"abc")
    inputs = {
        "betas": {"subj01": tmp_path / "betas.npy"},
        "stimuli": tmp_path / "folder",
        "duration": "1h",
        "external": None,
        "weights": tmp_path / "absent",
    }
    first = digest_of(Settings(), "code", inputs)
    hours = {"checkpoint_minutes": 1, "max_hours": 2, "loader_threads": 3}
    for cut in ({"run": hours}, {"joint": {"processes": 2}}):
        assert digest_of(parse_sections(cut), "code", inputs) == first
    os.utime(tmp_path / "folder/.snakemake_timestamp", (1, 1))
    assert digest_of(Settings(), "code", inputs) == first
    others = {
        digest_of(parse_sections({"encoder": {"epochs": 3}}), "code", inputs),
        digest_of(Settings(), "other", inputs),
        digest_of(Settings(), "code", {**inputs, "duration": "30min"}),
    }
    for changed in ("betas.npy", "folder/shard_0.npy", "absent"):
        (tmp_path / changed).write_bytes(b"abcd")
        others.add(digest_of(Settings(), "code", inputs))
    assert len(others | {first}) == 7


def test_without_a_work_folder_nothing_is_written(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with (
        resumable(None, Settings(), {}, tmp_path / "history.csv") as checkpoints,
        checkpoints.watching() as found,
    ):
        assert found is None and signal.getsignal(signal.SIGTERM) is before
        assert not checkpoints.is_due(after_step=True)
