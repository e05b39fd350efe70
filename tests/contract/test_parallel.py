"""Stage 2 by two and four processes (gloo) against one: losses, weights, interruptions."""

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tests.small_trainings import CPU, joint_task, save, write_data
from torch import distributed
from torch.optim.optimizer import register_optimizer_step_post_hook

from brainit.core.artifacts import write_table
from brainit.core.checkpoints import CheckpointFolder
from brainit.core.errors import PipelineError
from brainit.core.interruption import Interrupted
from brainit.training import parallel
from brainit.training.joint import train_joint
from brainit.training.resume import Checkpointer

pytestmark = pytest.mark.xdist_group("parallel")  # its fixtures are made once

N_STEPS = 3
"""One an epoch, whose 6 batches are accumulated by 4: the gradients of the last two stay."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder


def train(data: Path, out: Path, work: Path | None = None) -> None:
    """Train stage 2 and let the first process write the results."""
    task = joint_task(data, N_STEPS)
    folder = CheckpointFolder(work, "digest") if work else None
    history = train_joint(task, Checkpointer(folder, minutes=60.0))
    if parallel.is_first():
        out.mkdir()
        write_table(out / "history.csv", history)
        save(out / "joint.safetensors", task.model, task.generator.unet)


def in_processes(n: int, do: Callable[[int], None]) -> None:
    """Call `do(rank)` in `n` processes that know each other as torchrun's do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(n)}

    def joined(rank: int) -> None:
        os.environ.update(shared, TORCHELASTIC_RUN_ID="test", RANK=str(rank), LOCAL_RANK=str(rank))
        with parallel.joined_processes(n, CPU):
            do(rank)

    context = multiprocessing.get_context("fork")
    started = [context.Process(target=joined, args=(rank,)) for rank in range(n)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
        process.kill()
    assert [process.exitcode for process in started] == [0] * n


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "out"
    train(data, out)
    return out


@pytest.fixture(scope="module")
def by_two(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("two") / "out"
    in_processes(2, lambda rank: train(data, out))
    return out


def test_loss_curve_and_weights_are_those_of_one_process(alone: Path, by_two: Path) -> None:
    """To 1e-5 relative, which is the rounding of float32 sums in another order."""
    one, two = (pd.read_csv(folder / "history.csv") for folder in (alone, by_two))
    assert len(one) == N_STEPS and one["train_loss"].nunique() == N_STEPS
    np.testing.assert_allclose(two, one, rtol=1e-5)
    expected = load_file(alone / "joint.safetensors")
    for name, tensor in load_file(by_two / "joint.safetensors").items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-6, msg=name)


def test_each_batch_is_done_by_one_process_and_left_over_ones_by_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever their number, the mean of the weights over the processes is 1."""
    for size, accumulation in ((1, 4), (2, 4), (4, 4), (3, 6)):
        for n_batches in (6, 7, 12):
            weights = np.zeros((size, n_batches))
            monkeypatch.setattr(parallel, "n_processes", lambda size=size: size)
            for rank in range(size):
                monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
                for k in range(n_batches):
                    weights[rank, k] = parallel.loss_weight(k, n_batches, accumulation)
            assert (weights.mean(0) == 1).all()
            whole = n_batches // accumulation * accumulation
            assert ((weights[:, :whole] > 0).sum(0) == 1).all()
            assert ((weights[:, :whole] > 0).sum(1) == whole // size).all()


def test_a_signal_to_one_process_stops_both_and_leaves_the_bytes(
    data: Path, by_two: Path, tmp_path: Path
) -> None:
    """The signal follows every step but the last, and goes to the first or the second process."""

    def until_done(rank: int) -> None:
        n_steps, n_ends = 0, 0

        def hook(*_: object) -> None:
            nonlocal n_steps
            n_steps += 1
            if n_steps < N_STEPS and n_steps % 2 == rank:
                signal.raise_signal(signal.SIGTERM)

        register_optimizer_step_post_hook(hook)
        while not (tmp_path / "out").exists():
            try:
                train(data, tmp_path / "out", tmp_path / "work")
            except Interrupted:
                n_ends += 1
            parallel.wait_for_all()
        assert n_ends == N_STEPS - 1 and n_steps == N_STEPS, "no step is done twice"

    in_processes(2, until_done)
    for name in ("history.csv", "joint.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (by_two / name).read_bytes()


def test_processes_that_see_different_checkpoints_stop(tmp_path: Path) -> None:
    def look(rank: int) -> None:
        parallel.require_same(tmp_path, "the same")
        with pytest.raises(PipelineError) as error:
            parallel.require_same(tmp_path, f"step {rank}")
        assert error.value.code == "inconsistent-inputs" and error.value.where == str(tmp_path)

    in_processes(2, look)


def test_the_number_of_processes_must_be_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PipelineError) as error, parallel.joined_processes(2, CPU):
        pass
    assert error.value.code == "inconsistent-inputs"
    assert (error.value.where, error.value.found) == ("joint.processes", "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(PipelineError) as error, parallel.joined_processes(2, CPU):
        pass
    assert error.value.code == "inconsistent-inputs" and error.value.found == "4"


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    gpu = torch.device("cuda")
    with pytest.raises(PipelineError) as error, parallel.joined_processes(2, gpu):
        pass
    assert error.value.code == "no-device" and "1 GPU" in error.value.found
    assert not distributed.is_initialized()
