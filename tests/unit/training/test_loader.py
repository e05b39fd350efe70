"""Batches prepared ahead: the same, in order, with the generator as each batch left it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from brainit.core.errors import PipelineError
from brainit.core.shards import ShardedArray, write_shards
from brainit.features.token_cache import TokenCache
from brainit.training.loader import Loading, Slot, load, loading_of
from brainit.training.resume import EpochPosition, Work

N_BATCHES = 12


def draws_of(generator: torch.Generator) -> Iterator[torch.Tensor]:
    for _ in range(N_BATCHES):
        yield torch.rand(5, generator=generator)


def read_slowly(drawn: torch.Tensor, slot: Slot) -> torch.Tensor:
    """Take a time that the draws decide, so that later batches are often ready first."""
    time.sleep(float(drawn[0]) / 100)
    return slot.empty("doubled", (5,), torch.float32).copy_(2 * drawn)


@pytest.mark.parametrize("n_threads", [0, 1, 2, 5])
def test_any_number_of_threads_yields_the_same_batches_and_states(n_threads: int) -> None:
    position = EpochPosition(torch.Generator().manual_seed(3))
    plain = torch.Generator().manual_seed(3)
    n_seen = 0
    for batch in load(draws_of(position.generator), read_slowly, Loading(n_threads), position):
        assert torch.equal(batch, 2 * torch.rand(5, generator=plain))
        assert torch.equal(position.states()["epoch"], plain.get_state()), "not that of a later one"
        n_seen += 1
    assert n_seen == N_BATCHES


@pytest.mark.parametrize("n_threads", [0, 2])
def test_an_error_ends_the_batches_where_it_is(n_threads: int) -> None:
    def read(drawn: int, slot: Slot) -> int:
        if drawn == 3:
            raise PipelineError("a shard", "rows", "none", "rerun", code="missing-data")
        return drawn

    seen = []
    with pytest.raises(PipelineError) as error:
        seen.extend(load(iter(range(N_BATCHES)), read, Loading(n_threads)))
    assert error.value.code == "missing-data"


def test_a_training_that_stops_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    batches = load(iter(range(1000)), lambda drawn, slot: drawn, Loading(3))
    assert [next(batches), next(batches)] == [0, 1]
    batches.close()
    assert threading.active_count() == before


def test_buffers_are_used_again_and_only_after_their_batch() -> None:
    """A batch stays as it was until the next is asked for, however far the threads are ahead."""
    held, places = [], set()

    def read(drawn: int, slot: Slot) -> torch.Tensor:
        return slot.empty("rows", (drawn % 3 + 1, 4), torch.int64).fill_(drawn)

    for number, batch in enumerate(load(iter(range(60)), read, Loading(2))):
        time.sleep(0.001)
        assert batch.shape == (number % 3 + 1, 4) and (batch == number).all()
        places.add(batch.data_ptr())
        held.append(batch)
    assert len(places) < 12, "of 60 batches, those that needed a larger buffer"


@pytest.mark.gpu
def test_a_gpu_has_read_a_batch_before_its_buffers_are_filled_again() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    device, moved = torch.device("cuda"), []

    def read(drawn: int, slot: Slot) -> torch.Tensor:
        rows = slot.empty("rows", (1 << 20,), torch.float32)
        assert rows.is_pinned() and slot.hold("held", torch.ones(3)).is_pinned()
        return rows.fill_(drawn)

    for batch in load(iter(range(40)), read, Loading(3, device)):
        torch.cuda._sleep(20_000_000)  # the copy waits, while the threads read later batches
        moved.append(batch.to(device, non_blocking=True).mean())
    assert torch.stack(moved).tolist() == list(range(40))


def test_the_setting_decides_the_threads_and_a_cpu_needs_none(tmp_path: Path) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    work = Work(tmp_path, loader_threads=3)
    assert [loading_of(work, device).n_threads for device in (cpu, gpu)] == [3, 3]
    for unset in (None, Work(tmp_path)):
        assert loading_of(unset, cpu).n_threads == 0 < loading_of(unset, gpu).n_threads


@pytest.mark.parametrize("width", [4, 16384])
def test_rows_are_copied_to_their_places(tmp_path: Path, width: int) -> None:
    """Long rows, which the disk is asked for first, too."""
    rows = np.random.default_rng(1).normal(size=(10, 3, width)).astype(np.float16)
    write_shards(tmp_path, iter([rows[:4], rows[4:]]))
    index, at = np.array([9, 0, 4, 3]), np.array([1, 4, 0, 3])
    out = np.zeros((5, 3, width), np.float16)
    TokenCache(ShardedArray(tmp_path)).rows_into(index, out, at)
    assert np.array_equal(out[at], rows[index]) and not out[2].any()
    with pytest.raises(PipelineError) as error:
        ShardedArray(tmp_path).rows_into(np.array([10]), out, np.array([0]))
    assert error.value.code == "inconsistent-inputs"
