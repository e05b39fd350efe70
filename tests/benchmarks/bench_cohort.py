"""A BIT's step against the number of subjects, 1 to 93, at a tiny width, one thread.

400 voxels and 40 examples a subject, batches of 128, width 32, AdamW. As drawn, a batch of a large
pool has nearly all subjects, and the work of a step grows with their number; with few subjects in a
batch (`cohort.subjects_per_batch`) what grows is the table of voxel embeddings alone, whose
gradient and moments are of all voxels. Each row is a process of its own, so that memory is its own.
"""

import sys
import time

import numpy as np
import torch
from process_memory import peak_mb, printed_by

from brainit.core.seeds import seeded_init, torch_generator, use_threads
from brainit.data.fmri import SubjectFmri
from brainit.models.brain_transformer import BrainInteractionTransformer
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


def measure(n_subjects: int, most: int | None) -> tuple[float, float, float]:
    """Return CPU milliseconds of a step, subjects of a batch, and the process's peak in MB."""
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
    seconds, n_mixed = [], []
    while len(seconds) < N_STEPS:
        for batch in source.epoch(BATCH, generator, dropout):
            started = time.process_time()
            tokens = bit.tokenize_mixed(batch.groups_on(torch.device("cpu")))
            bit.decode(tokens).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            seconds.append(time.process_time() - started)
            n_mixed.append(len(batch.groups))
    return 1e3 * float(np.median(seconds[1:])), float(np.mean(n_mixed)), peak_mb()


def main() -> int:
    """Print a row for each number of subjects; return 1 where the growth is above its bar."""
    if len(sys.argv) > 1:
        n_subjects, most = (int(word) for word in sys.argv[1:])
        print(*measure(n_subjects, most or None))  # noqa: T201
        return 0
    rows: dict[tuple[int, int], list[float]] = {}
    for n_subjects in N_SUBJECTS:
        for most in (0, MOST):
            rows[n_subjects, most] = printed_by(__file__, str(n_subjects), str(most))
        drawn, few = rows[n_subjects, 0], rows[n_subjects, MOST]
        print(  # noqa: T201
            f"{n_subjects} subjects: as drawn {drawn[0]:.0f} ms, {drawn[1]:.1f} a batch,"
            f" {drawn[2]:.0f} MB; few {few[0]:.0f} ms, {few[1]:.1f} a batch, {few[2]:.0f} MB"
        )
    growth = rows[N_SUBJECTS[-1], MOST][0] / rows[MOST, MOST][0]
    print(f"a cohort's step: growth {growth:.2f} (bar {GROWTH_BAR})")  # noqa: T201
    return int(growth > GROWTH_BAR)


if __name__ == "__main__":
    sys.exit(main())
