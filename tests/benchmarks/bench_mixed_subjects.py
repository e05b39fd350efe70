"""Brain tokens of a batch of four subjects: all at once against subject by subject, one thread.

Sizes of the demo: 24 examples, 3,000 voxels a subject of which 1,300 are drawn, 32 clusters, width
64. Forward and backward; tokens and the embeddings' gradient must agree to 1e-5 of the largest.
"""

import sys
import time

import torch
from torch import Tensor

from brainit.core.seeds import seeded_init, torch_generator, use_threads
from brainit.models.brain_decoder import SubjectBatch
from brainit.models.brain_transformer import BrainInteractionTransformer
from brainit.training.examples import draw_voxels

EXAMPLES, N_VOXELS, N_DRAWN, N_CLUSTERS, WIDTH = (7, 4, 8, 5), 3000, 1300, 32, 64
N_ROUNDS, BAR, TOLERANCE = 40, 1.1, 1e-5


def run(
    bit: BrainInteractionTransformer, groups: list[SubjectBatch], is_mixed: bool
) -> tuple[float, list[Tensor]]:
    """Return CPU seconds, and the tokens with the gradient of the voxel embeddings."""
    started = time.process_time()
    if is_mixed:
        tokens = bit.tokenize_mixed(groups)
    else:
        tokens = torch.cat([bit.tokenize(part.betas, part.voxels, part.keep) for part in groups])
    (gradient,) = torch.autograd.grad(tokens.square()[..., 0].sum(), bit.voxel_embedding)
    return time.process_time() - started, [tokens.detach(), gradient]


def main() -> int:
    """Print the ratio; return 1 where it is under the bar or results differ."""
    use_threads(1)
    generator = torch_generator(0, "bench_mixed_subjects")
    clusters = torch.randint(N_CLUSTERS, (len(EXAMPLES) * N_VOXELS,), generator=generator)
    with seeded_init(0, "bench_mixed_subjects"):
        bit = BrainInteractionTransformer(
            voxel_cluster=clusters,
            n_clusters=N_CLUSTERS,
            n_queries=1,
            out_width=1,
            width=WIDTH,
            n_heads=4,
            n_blocks=1,
        )
    for table in (bit.voxel_embedding, bit.tokenizer.cluster_embedding):
        table.data.normal_(generator=generator)  # of order one, so that attention is not flat
    groups = []
    for k, n in enumerate(EXAMPLES):
        keep = draw_voxels(n, N_VOXELS, N_DRAWN, "with_replacement", generator)
        betas = torch.randn(n, N_VOXELS, generator=generator)
        groups.append(SubjectBatch(betas, slice(k * N_VOXELS, (k + 1) * N_VOXELS), keep))
    apart_s, mixed_s = [], []
    for _ in range(N_ROUNDS):
        seconds, expected = run(bit, groups, is_mixed=False)
        apart_s.append(seconds)
        seconds, found = run(bit, groups, is_mixed=True)
        mixed_s.append(seconds)
    apart = max(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True)
    )
    ratio = min(apart_s) / min(mixed_s)
    detail = f"{1e3 * min(apart_s):.1f} ms, {1e3 * min(mixed_s):.1f} ms; {apart:.1e} apart"
    print(f"mixed subjects: ratio {ratio:.2f} (bar {BAR}) [{detail}]")  # noqa: T201
    return int(ratio < BAR or apart > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
