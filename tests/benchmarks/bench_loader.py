"""Batches at the paper's sizes: the loader against reading as before it, one thread.

The plain way is the code before the loader: images and cached tokens converted to float32 on the
host, gathered by kind, joined and put into order. What each moves to the device must agree there.
Processor seconds, warm page cache, least of interleaved rounds. Then whole batches of both BITs are
prepared ahead of a device whose step takes 50 ms: the share of the time in which it waits, which is
wall time and needs a core that is free.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.seeds import torch_generator
from brainit.core.settings import LowlevelSettings, SemanticSettings
from brainit.core.shards import ShardedArray, write_shards
from brainit.data.fmri import SubjectFmri
from brainit.data.images import ImageStore, images_on
from brainit.features.token_cache import as_bytes, tokens_on
from brainit.training.examples import BatchImages, ExampleBatch, ExampleSource
from brainit.training.loader import Loading, Slot
from brainit.training.resume import EpochPosition
from brainit.training.stage1 import Stage1Task
from brainit.training.targets import LowlevelTargets, SemanticTargets

N_IMAGES, SIDE, N_TOKENS, WIDTH, N_BATCH = 320, 256, 256, 1664, 128
N_SUBJECTS, N_VOXELS, N_TRIALS = 8, 39548, 360
VGG_TOKENS = (3136, 3025, 784, 196, 49)
ROUNDS, STEP_S, N_THREADS, WAIT_ROUNDS, N_STEPS = 5, 0.05, 4, 6, 12
IMAGE_BAR, TOKEN_BAR, WAIT_BAR = 12.0, 12.0, 0.05
CPU = torch.device("cpu")


def plain_gather(batch: ExampleBatch, read: Callable[[bool, NDArray[np.int64]], Tensor]) -> Tensor:
    """Return one row per example, as before the loader."""
    kinds = [kind for kind in (False, True) if (batch.is_external == kind).any()]
    rows = [np.flatnonzero(batch.is_external == kind) for kind in kinds]
    parts = [read(kind, batch.image[mine]) for kind, mine in zip(kinds, rows, strict=True)]
    order = np.argsort(np.concatenate(rows), kind="stable")
    return torch.cat(parts)[torch.from_numpy(order)]


def plain_images(batch: ExampleBatch, stores: dict[bool, ShardedArray]) -> Tensor:
    """Return a batch's images as before the loader."""

    def read(kind: bool, index: NDArray[np.int64]) -> Tensor:
        channels_first = np.ascontiguousarray(stores[kind].rows(index).transpose(0, 3, 1, 2))
        return torch.from_numpy(channels_first).float().div_(255.0)

    return plain_gather(batch, read)


def plain_tokens(batch: ExampleBatch, caches: dict[bool, ShardedArray]) -> Tensor:
    """Return a batch's cached tokens as before the loader."""
    return plain_gather(
        batch, lambda kind, index: torch.from_numpy(caches[kind].rows(index).astype(np.float32))
    )


def cpu_s(call: Callable[[], object]) -> float:
    """Return the processor seconds of one call."""
    started = time.process_time()
    call()
    return time.process_time() - started


def ratio_line(
    name: str, bar: float, plain: Callable[[int], object], ours: Callable[[int], object]
) -> bool:
    """Time both ways on the same batches, print their ratio; return True if it misses the bar."""
    plain_s, ours_s = [], []
    for number in range(ROUNDS):
        plain_s.append(cpu_s(partial(plain, number)))
        ours_s.append(cpu_s(partial(ours, number)))
    ratio = min(plain_s) / min(ours_s)
    detail = f"{1e3 * min(plain_s):.0f} ms, {1e3 * min(ours_s):.1f} ms"
    print(f"{name}: ratio {ratio:.1f} (bar {bar:g}) [{detail}]")  # noqa: T201
    return ratio < bar


def waiting(task: Stage1Task) -> tuple[float, float]:
    """Return the share of the time in which a device waits, and the host's seconds a batch.

    The device takes 50 ms a batch; least of some rounds, without the first batch of each epoch.
    """
    shares, host_s = [], []
    for epoch in range(WAIT_ROUNDS):
        batches = task.batches(EpochPosition(task.draws(epoch)))
        next(batches)
        waited_s, started, used = 0.0, time.perf_counter(), time.process_time()
        for _ in range(N_STEPS):
            asked = time.perf_counter()
            next(batches)
            waited_s += time.perf_counter() - asked
            time.sleep(STEP_S)
        shares.append(waited_s / (time.perf_counter() - started))
        host_s.append((time.process_time() - used) / N_STEPS)
    return min(shares), min(host_s)


def write_files(folder: Path) -> None:
    """Write images, cached tokens of real and external ones, and predicted fMRI."""
    draws = np.random.default_rng(0)
    for name in ("stimuli", "external"):
        shape = (N_IMAGES, SIDE, SIDE, 3)
        write_shards(folder / name, iter([draws.integers(256, size=shape, dtype=np.uint8)]))
        tokens = np.empty((N_IMAGES, N_TOKENS, WIDTH), np.float16)
        for image in tokens:
            image[:] = draws.standard_normal(image.shape, dtype=np.float32)
        write_shards(folder / f"tokens_{name}", iter([tokens]))
        blocks = (as_bytes(torch.from_numpy(tokens[k : k + 32])) for k in range(0, N_IMAGES, 32))
        write_shards(folder / f"bytes_{name}", (block.numpy() for block in blocks))
    predicted = draws.standard_normal((N_IMAGES, N_VOXELS), dtype=np.float32).astype(np.float16)
    write_shards(folder / "predicted", iter([predicted]))


def source_of(folder: Path) -> ExampleSource:
    """Return examples of eight subjects with the same responses."""
    betas = np.random.default_rng(1).standard_normal((N_TRIALS, N_VOXELS), dtype=np.float32)
    seen, once = np.arange(N_TRIALS) % N_IMAGES, np.ones(N_TRIALS, np.int64)
    names = [f"subj{n:02d}" for n in range(1, N_SUBJECTS + 1)]
    real = {name: SubjectFmri(name, betas.astype(np.float16), seen, once) for name in names}
    predicted = {name: ShardedArray(folder / "predicted") for name in names}
    slices = {n: slice(k * N_VOXELS, (k + 1) * N_VOXELS) for k, n in enumerate(names)}
    return ExampleSource(real, predicted, slices)


def task_of(source: ExampleSource, targets: Any, settings: Any) -> Stage1Task:
    """Return a task whose batches are read and whose model is never run."""
    model: Any = SimpleNamespace(train=lambda: None, training=True, n_queries=N_TOKENS)
    return Stage1Task(model, source, None, targets, settings, 0, CPU, loading=Loading(N_THREADS))


def is_kept_waiting(source: ExampleSource, images: BatchImages, cached: SemanticTargets) -> bool:
    """Print how long the device waits for batches of each BIT; return True where it is too long."""
    vgg: Any = LowlevelTargets.__new__(LowlevelTargets)
    vgg.images, vgg.layout = images, SimpleNamespace(tokens_per_layer=VGG_TOKENS)
    is_too_long = False
    for label, task in (
        ("low-level BIT, batch 64", task_of(source, vgg, LowlevelSettings())),
        ("semantic BIT, batch 128", task_of(source, cached, SemanticSettings())),
    ):
        share, host_s = waiting(task)
        detail = f"{1e3 * host_s:.0f} ms of {N_THREADS} threads a batch"
        wait_bar = f"bar {100 * WAIT_BAR:.0f} %"
        print(f"{label}: waits {100 * share:.1f} % ({wait_bar}) [{detail}]")  # noqa: T201
        is_too_long |= share > WAIT_BAR
    return is_too_long


def main() -> int:
    """Print all ratios; return 1 where one misses its bar or results differ."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder)
        source, slot, byte_slot = source_of(folder), Slot(), Slot()
        images = BatchImages(ImageStore(folder / "stimuli"), ImageStore(folder / "external"))
        shards = {False: folder / "stimuli", True: folder / "external"}
        stores = {kind: ShardedArray(path) for kind, path in shards.items()}
        caches = {
            kind: ShardedArray(folder / f"tokens_{path.name}") for kind, path in shards.items()
        }
        cached = SemanticTargets(images, None, caches)
        halves = {
            kind: ShardedArray(folder / f"bytes_{path.name}") for kind, path in shards.items()
        }
        at_8_bits = SemanticTargets(images, None, halves)
        generator = torch_generator(0, "bench_loader")
        drawn = source.draws(N_BATCH, generator, None)
        batches = [source.read(next(drawn), Slot()) for _ in range(ROUNDS)]
        is_equal = torch.equal(
            images_on(images.pixels(batches[0], slot), CPU), plain_images(batches[0], stores)
        ) and torch.equal(
            tokens_on(cached.read(batches[0], slot), CPU), plain_tokens(batches[0], caches)
        )
        fails = [
            ratio_line(
                f"images of {N_BATCH} examples",
                IMAGE_BAR,
                lambda k: plain_images(batches[k], stores),
                lambda k: images.pixels(batches[k], slot),
            ),
            ratio_line(
                f"cached tokens of {N_BATCH} images",
                TOKEN_BAR,
                lambda k: plain_tokens(batches[k], caches),
                lambda k: cached.read(batches[k], slot),
            ),
            ratio_line(
                "the same at 8 bits",
                TOKEN_BAR,
                lambda k: plain_tokens(batches[k], caches),
                lambda k: at_8_bits.read(batches[k], byte_slot),
            ),
        ]
        fails.append(is_kept_waiting(source, images, cached))
    return int(any(fails) or not is_equal)


if __name__ == "__main__":
    sys.exit(main())
