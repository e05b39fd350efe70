"""Brain Tokenizer against PyTorch Geometric's `TransformerConv` on the released graph, one thread.

The graph has one node per example and kept voxel and one per example and cluster. Outputs and all
gradients must agree to 1e-5 of the largest value. Memory is the peak of a process each, without
what the imports alone take. Needs the `bench` extra.
"""

import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from brainit.core.seeds import seeded_init, torch_generator
from brainit.models.brain_tokenizer import BrainTokenizer, VoxelGroups, group_voxels
from brainit.training.examples import draw_voxels

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch_geometric.nn import TransformerConv

N_CLUSTERS, WIDTH = 128, 512
SPEED_SIZE, MEMORY_SIZE = (4, 8000, 6000), (16, 40000, 15000)  # batch, voxels, drawn
N_ROUNDS, SPEED_BAR, MEMORY_BAR, TOLERANCE = 5, 12.0, 4.0, 1e-5


@dataclass
class Case:
    """The same weights in both tokenizers, and one batch."""

    ours: BrainTokenizer
    graph: nn.Module
    groups: VoxelGroups
    cluster: Tensor
    embedding: Tensor
    betas: Tensor
    keep: Tensor
    weights: Tensor


def make_case(n_batch: int, n_voxels: int, n_drawn: int, sampling: str) -> Case:
    """Draw weights and a batch; embeddings of order one, so that attention is not flat."""
    generator = torch_generator(0, "bench_tokenizer")
    with seeded_init(0, "bench_tokenizer"):
        ours = BrainTokenizer(N_CLUSTERS, WIDTH)
        graph = TransformerConv(WIDTH, WIDTH)
    ours.cluster_embedding.data.normal_(generator=generator)
    pairs = {"query": "lin_query", "key": "lin_key", "value": "lin_value", "root": "lin_skip"}
    for mine, theirs in pairs.items():
        state = getattr(ours, mine).state_dict()
        getattr(graph, theirs).load_state_dict(state, strict=mine != "key")
    cluster = torch.randint(N_CLUSTERS, (n_voxels,), generator=generator)
    return Case(
        ours,
        graph,
        group_voxels(cluster, N_CLUSTERS),
        cluster,
        torch.randn(n_voxels, WIDTH, generator=generator).requires_grad_(),
        torch.randn(n_batch, n_voxels, generator=generator).requires_grad_(),
        draw_voxels(n_batch, n_voxels, n_drawn, sampling, generator),
        torch.randn(n_batch, N_CLUSTERS, WIDTH, generator=generator),
    )


def by_graph(case: Case) -> Tensor:
    """Return the tokens as the released code computes them: an edge from each kept voxel."""
    n_batch = len(case.betas)
    example, voxel = case.keep.nonzero(as_tuple=True)
    modulated = case.betas[example, voxel, None] * case.embedding[voxel]
    nodes = torch.cat([modulated, case.ours.cluster_embedding.repeat(n_batch, 1)])
    source = torch.arange(len(voxel))
    goal = len(voxel) + example * N_CLUSTERS + case.cluster[voxel]
    tokens = case.graph(nodes, torch.stack([source, goal]))[len(voxel) :]
    return case.ours.norm(torch.relu(tokens)).view(n_batch, N_CLUSTERS, WIDTH)


def by_factors(case: Case) -> Tensor:
    """Return the tokens of this project's tokenizer."""
    return case.ours(case.betas, case.embedding, case.groups, case.keep)


def leaves(case: Case, is_graph: bool) -> list[Tensor]:
    """Return the tensors with gradients, in one order for both (the key's bias has none)."""
    linear = (
        [getattr(case.graph, f"lin_{name}") for name in ("query", "key", "value", "skip")]
        if is_graph
        else [getattr(case.ours, name) for name in ("query", "key", "value", "root")]
    )
    shared = [case.embedding, case.betas, case.ours.cluster_embedding, *case.ours.norm.parameters()]
    biases = [linear[i].bias for i in (0, 2, 3)]
    return [*shared, *(part.weight for part in linear), *biases]


def run(case: Case, is_graph: bool) -> tuple[float, Tensor, list[Tensor]]:
    """Return seconds of forward and backward, the tokens and the gradients."""
    started = time.perf_counter()
    tokens = by_graph(case) if is_graph else by_factors(case)
    gradients = torch.autograd.grad((tokens * case.weights).sum(), leaves(case, is_graph))
    return time.perf_counter() - started, tokens.detach(), list(gradients)


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference, in units of the largest expected value."""
    return float((found - expected).abs().max() / expected.abs().max())


def speed() -> bool:
    """Print the ratio of times and the largest differences; return True if they hold."""
    case = make_case(*SPEED_SIZE, "without_replacement")
    graph_s, factors_s = [], []
    for _ in range(N_ROUNDS):
        seconds, expected, plain = run(case, is_graph=True)
        graph_s.append(seconds)
        seconds, found, ours = run(case, is_graph=False)
        factors_s.append(seconds)
    output = relative_difference(found, expected)
    gradient = max(relative_difference(a, b) for a, b in zip(ours, plain, strict=True))
    ratio = min(graph_s) / min(factors_s)
    detail = f"{min(graph_s):.3f} s, {min(factors_s):.3f} s; outputs {output:.1e}, "
    detail += f"gradients {gradient:.1e} apart"
    print(f"tokenizer speed: ratio {ratio:.1f} (bar {SPEED_BAR}) [{detail}]")  # noqa: T201
    return ratio >= SPEED_BAR and max(output, gradient) <= TOLERANCE


def peak_mb() -> float:
    """Return this process's peak resident memory in MB (`ru_maxrss` would count its parent's)."""
    status = Path("/proc/self/status").read_text()
    return float(status.split("VmHWM:")[1].split()[0]) / 1024


def memory_of(kind: str) -> float:
    """Return the peak memory in MB of a process that runs one tokenizer once."""
    command = [sys.executable, __file__, kind]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def memory() -> bool:
    """Print the ratio of peak memories; return True if it holds."""
    graph, factors = memory_of("graph"), memory_of("factors")
    ratio = graph / factors
    detail = f"{graph:.0f} MB, {factors:.0f} MB"
    print(f"tokenizer memory: ratio {ratio:.1f} (bar {MEMORY_BAR}) [{detail}]")  # noqa: T201
    return ratio >= MEMORY_BAR


def main() -> int:
    """Run both comparisons; return 1 where one is under its bar or results differ."""
    torch.set_num_threads(1)
    if sys.argv[1:]:
        before = peak_mb()
        run(make_case(*MEMORY_SIZE, "with_replacement"), is_graph=sys.argv[1] == "graph")
        print(peak_mb() - before)  # noqa: T201
        return 0
    holds = [speed(), memory()]
    return int(not all(holds))


if __name__ == "__main__":
    sys.exit(main())
