"""A BIT's step against the number of subjects, 1 to 93, at a tiny width, one thread.

400 voxels and 40 examples a subject, batches of 128, width 32, AdamW. As drawn, a batch of a large
pool has nearly all subjects, and the work of a step grows with their number; with few subjects in a
batch (`cohort.subjects_per_batch`) what grows is the table of voxel embeddings alone, whose
gradient and moments are of all voxels. With `cohort.embedding_states: host` gradient and moments on
the device are of a batch's subjects; `on the device` counts the bytes of all tensors of the BIT's
embeddings there at the end of a backward pass (weights, gradient, moments), which on a CPU share
one memory with the host's. Each row is a process of its own, so that memory is its own.
"""

import sys
import time

import numpy as np
import torch
from process_memory import peak_mb, printed_by

from brainit.core.seeds import seeded_init, torch_generator, use_threads
from brainit.data.fmri import SubjectFmri
from brainit.models.brain_transformer import BrainInteractionTransformer
from brainit.training.embedding_states import EmbeddingStates, states_of
from brainit.training.examples import ExampleSource, VoxelDropout
from brainit.training.optimizers import make_optimizer

N_SUBJECTS, MOST = (1, 8, 32, 93), 8
N_VOXELS, N_EXAMPLES, BATCH, WIDTH, N_CLUSTERS, N_STEPS = 400, 40, 128, 32, 32, 6
GROWTH_BAR = 3.0
"""A step of 93 subjects against one of 8, as many as a batch has."""


def source_of(n_subjects: int, most: int | None) -> ExampleSource:
    rng = np.random.default_rng(0)
    real, voxels = {}, {}
    for k in range(n_subjects):
        betas = rng.normal(size=(N_EXAMPLES, N_VOXELS)).astype(np.float16)
        n_repeats = np.ones(N_EXAMPLES, dtype=np.int64)
        real[f"s{k}"] = SubjectFmri(f"s{k}", betas, np.arange(N_EXAMPLES), n_repeats)
        voxels[f"s{k}"] = slice(k * N_VOXELS, (k + 1) * N_VOXELS)
    return ExampleSource(real, {}, voxels, subjects_per_batch=most)


def on_device(table: torch.nn.Parameter, moments: int, states: EmbeddingStates | None) -> float:
    """Return the MB that a device holds for the embeddings, at the end of a backward pass."""
    held = [table] if states is None else [table, *(leaf for _, leaf in states._read)]
    held += [tensor.grad for tensor in held if tensor.grad is not None]
    total = sum(tensor.numel() for tensor in held) + moments * table.numel() * (states is None)
    if states is not None:
        total += sum(t.numel() for rows in states._on_device.values() for t in rows)
    return 4 * total / 1e6


def measure(n_subjects: int, most: int | None, where: str) -> tuple[float, float, float, float]:
    """Return CPU ms of a step, subjects of a batch, the process's peak and `on_device` in MB."""
    use_threads(1)
    generator = torch_generator(0, "bench_cohort")
    cluster = torch.randint(N_CLUSTERS, (n_subjects * N_VOXELS,), generator=generator)
    with seeded_init(0, "bench_cohort"):
        bit = BrainInteractionTransformer(
            voxel_cluster=cluster,
            n_clusters=N_CLUSTERS,
            n_queries=16,
            out_width=24,
            width=WIDTH,
            n_heads=4,
            n_blocks=1,
        )
    optimizer = make_optimizer("adamw", list(bit.parameters()), 1.0e-3, 0.01)
    source, dropout = source_of(n_subjects, most), VoxelDropout(150, "with_replacement")
    seconds, n_mixed, held = [], [], []
    with states_of(where, bit, source.voxels, "adamw") as states:
        while len(seconds) < N_STEPS:
            for batch in source.epoch(BATCH, generator, dropout):
                started = time.process_time()
                tokens = bit.tokenize_mixed(batch.groups_on(torch.device("cpu")))
                bit.decode(tokens).square().mean().backward()
                held.append(on_device(bit.voxel_embedding, 2, states))
                if states is not None:
                    states.step(optimizer.param_groups[0])
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                seconds.append(time.process_time() - started)
                n_mixed.append(len(batch.groups))
    return 1e3 * float(np.median(seconds[1:])), float(np.mean(n_mixed)), peak_mb(), max(held)


def main() -> int:
    """Print a row for each number of subjects; return 1 where the growth is above its bar."""
    if len(sys.argv) > 1:
        n_subjects, most, on_host = (int(word) for word in sys.argv[1:])
        print(*measure(n_subjects, most or None, "host" if on_host else "device"))  # noqa: T201
        return 0
    rows: dict[tuple[int, int, int], list[float]] = {}
    for n_subjects in N_SUBJECTS:
        for most, on_host in ((0, 0), (MOST, 0), (MOST, 1)):
            words = [str(word) for word in (n_subjects, most, on_host)]
            rows[n_subjects, most, on_host] = printed_by(__file__, *words)
        drawn, few, host = (rows[n_subjects, *key] for key in ((0, 0), (MOST, 0), (MOST, 1)))
        print(  # noqa: T201
            f"{n_subjects} subjects: as drawn {drawn[0]:.0f} ms, {drawn[1]:.1f} a batch,"
            f" {drawn[2]:.0f} MB; few {few[0]:.0f} ms, {few[1]:.1f} a batch, {few[2]:.0f} MB,"
            f" on the device {few[3]:.2f} MB; moments on the host {host[0]:.0f} ms,"
            f" {host[2]:.0f} MB, on the device {host[3]:.2f} MB"
        )
    growths = [rows[N_SUBJECTS[-1], MOST, k][0] / rows[MOST, MOST, k][0] for k in (0, 1)]
    words = ", on the host ".join(f"{growth:.2f}" for growth in growths)
    print(f"a cohort's step: growth {words} (bar {GROWTH_BAR})")  # noqa: T201
    return int(max(growths) > GROWTH_BAR)


if __name__ == "__main__":
    sys.exit(main())
