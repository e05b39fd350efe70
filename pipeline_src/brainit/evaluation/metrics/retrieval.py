"""N-way retrieval by cosine similarity, both ways (MindEye2: 30 draws of 300 test images)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

N_DRAWS = 30


@dataclass(frozen=True)
class Retrieval:
    """Percent of the draws in which each image is the top answer; NaN where it was never drawn.

    `image`: its reconstruction asks among the seen images; `brain`: it asks among reconstructions.
    `n_pool` is the number of images of each draw.
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
    """Draw `pool_size` images `N_DRAWS` times and find each one's nearest by `similarity`.

    Its rows are reconstructions, its columns targets. With fewer images than `pool_size` all of
    them are the pool: `n_pool` says so, and belongs beside the score. Of equal ones the first drawn
    counts.
    """
    n_images = len(similarity)
    n_pool = min(pool_size, n_images)
    n_hits = np.zeros((2, n_images))
    n_drawn = np.zeros(n_images)
    for _ in range(N_DRAWS):
        pool = generator.choice(n_images, size=n_pool, replace=False)
        block = similarity[np.ix_(pool, pool)]
        places = np.arange(n_pool)
        n_hits[0, pool] += block.argmax(axis=1) == places
        n_hits[1, pool] += block.argmax(axis=0) == places
        n_drawn[pool] += 1
    share = np.full((2, n_images), np.nan)
    np.divide(100.0 * n_hits, n_drawn, out=share, where=n_drawn > 0)
    return Retrieval(share[0], share[1], n_pool)
