"""Features of the networks that score, and the metrics on them (paper section 5.2).

Distances (Eff, SwAV) give one number per image; retrieval is N-way by cosine similarity, both ways
(MindEye2: 30 draws of 300 test images). Two-way identification is in `two_way`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from brainit.core.progress import progress
from brainit.core.shards import shard_ranges
from brainit.data.images import resize_images
from brainit.evaluation.metrics.two_way import row_correlations
from brainit.features.lpips import Lpips
from brainit.features.registry import load_backbone

BATCH = 64


def load_metric_networks(
    names: Sequence[str], weights_dir: Path | None, device: torch.device
) -> dict[str, nn.Module]:
    """Return the networks `names` of the role `metric`, by name; see `features.metrics`."""
    return {name: load_backbone("metric", name, weights_dir).to(device) for name in names}


@torch.inference_mode()
def tap_features(
    network: nn.Module,
    images: Float[Tensor, "images 3 height width"],
    eval_size: int,
    device: torch.device,
) -> dict[str, Float[Tensor, "images _features"]]:
    """Return the features of images in [0, 1] at each tap, float32, on the CPU.

    Images are first resized to `eval_size`; the network resizes to its own size.
    """
    blocks: list[dict[str, Tensor]] = []
    for start, stop in progress(shard_ranges(len(images), BATCH), "features", unit="batch"):
        batch = resize_images(images[start:stop], eval_size).to(device)
        blocks.append({tap: features.flatten(1).cpu() for tap, features in network(batch).items()})
    return {tap: torch.cat([block[tap] for block in blocks]) for tap in blocks[0]}


@torch.inference_mode()
def pair_distances(
    network: Lpips,
    recons: Float[Tensor, "images 3 height width"],
    targets: Float[Tensor, "images 3 side side"],
    eval_size: int,
    device: torch.device,
) -> Float[Tensor, "images"]:
    """Return the LPIPS distance of each reconstruction from its target, on the CPU.

    Images in [0, 1] are first resized to `eval_size`.
    """
    blocks = []
    for start, stop in progress(shard_ranges(len(recons), BATCH), "LPIPS", unit="batch"):
        pair = (resize_images(images[start:stop], eval_size) for images in (recons, targets))
        first, second = (images.to(device) for images in pair)
        blocks.append(network(first, second).double().cpu())
    return torch.cat(blocks)


_ROWS_PER_BLOCK = 64


def correlation_distances(
    recons: Float[Tensor, "images features"], targets: Float[Tensor, "images features"]
) -> Float[Tensor, "images"]:
    """Return 1 - Pearson correlation of each pair, in [0, 2], float64 (Eff and SwAV).

    A row without variance has distance 1.
    """
    return 1.0 - row_correlations(recons, targets)


def unit_distances(
    recons: Float[Tensor, "images features"], targets: Float[Tensor, "images features"]
) -> Float[Tensor, "images"]:
    """Return the squared distance of the features scaled to norm 1, in [0, 4], float64.

    Like LPIPS (Zhang et al. 2018), but with one unit vector per image instead of one per position,
    and without learned channel weights: not an LPIPS score. A row of zeros stays zero.
    """
    distances = torch.empty(len(recons), dtype=torch.float64)
    for start, stop in shard_ranges(len(recons), _ROWS_PER_BLOCK):
        pair = (recons[start:stop], targets[start:stop])
        first, second = (F.normalize(rows.double(), dim=1) for rows in pair)
        distances[start:stop] = (first - second).square().sum(dim=1)
    return distances


def unit_distance_of_others(
    recons: Float[Tensor, "images features"], targets: Float[Tensor, "images features"]
) -> float:
    """Return the mean of `unit_distances` over all pairs of different images (n >= 2).

    The mean of a.a + b.b - 2 a.b over unit vectors a and b follows from sums, without pairs.
    """
    n_images, n_features = recons.shape
    totals = torch.zeros(2, n_features, dtype=torch.float64, device=recons.device)
    squares, matching = 0.0, 0.0
    for start, stop in shard_ranges(n_images, _ROWS_PER_BLOCK):
        pair = (recons[start:stop], targets[start:stop])
        first, second = (F.normalize(rows.double(), dim=1) for rows in pair)
        totals += torch.stack([first.sum(dim=0), second.sum(dim=0)])
        squares += float(first.square().sum() + second.square().sum())
        matching += float((first * second).sum())
    others = float(totals[0] @ totals[1]) - matching
    return squares / n_images - 2.0 * others / (n_images * (n_images - 1))


N_DRAWS = 30


@dataclass(frozen=True)
class Retrieval:
    """Percent of draws in which each image is retrieved first; NaN if never drawn.

    `image` retrieves the seen image by its reconstruction, `brain` the reconstruction by the seen
    image. `n_pool` is the number of images per draw.
    """

    image: NDArray[np.float64]
    brain: NDArray[np.float64]
    n_pool: int


def cosine_similarities(
    recons: Float[Tensor, "images features"], targets: Float[Tensor, "images features"]
) -> NDArray[np.float32]:
    """Return the cosine of each reconstruction's features with each target's, (images, images)."""
    first, second = (F.normalize(rows.float(), dim=1) for rows in (recons, targets))
    similarity: NDArray[np.float32] = (first @ second.T).cpu().numpy()
    return similarity


def retrieval_scores(
    similarity: NDArray[np.float32], pool_size: int, generator: np.random.Generator
) -> Retrieval:
    """Draw `pool_size` images `N_DRAWS` times and retrieve each by `similarity`.

    `similarity` is (reconstructions, targets). With fewer images than `pool_size` the pool is all
    images; report `n_pool` with the score. Ties go to the image drawn first.
    """
    n_images = len(similarity)
    n_pool = min(pool_size, n_images)
    n_hits = np.zeros((2, n_images))
    n_drawn = np.zeros(n_images)
    for _ in range(N_DRAWS):
        pool = generator.choice(n_images, size=n_pool, replace=False)
        block = similarity[np.ix_(pool, pool)]
        correct = np.arange(n_pool)
        n_hits[0, pool] += block.argmax(axis=1) == correct
        n_hits[1, pool] += block.argmax(axis=0) == correct
        n_drawn[pool] += 1
    share = np.full((2, n_images), np.nan)
    np.divide(100.0 * n_hits, n_drawn, out=share, where=n_drawn > 0)
    return Retrieval(share[0], share[1], n_pool)
