"""Order examples so that a batch mixes few subjects of a large pool.

A batch holds the voxels of each of its subjects, for all of its examples: with 93 subjects in every
batch that would be all voxels, for three examples each.
"""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray


def with_few_subjects(
    order: NDArray[np.int64],
    subject: NDArray[np.int64],
    batch: int,
    most: int,
    generator: torch.Generator,
) -> NDArray[np.int64]:
    """Return a random `order` of examples, regrouped where there are more than `most` subjects.

    `subject` is the number of each example's subject. Every so many batches are sorted by subject,
    the subjects in random order, then shuffled as whole batches. So a batch of `batch` examples has
    about `most` subjects at most, exactly where all have equally many examples, and an epoch still
    visits each example once, in as many batches.
    """
    n_subjects = int(subject.max()) + 1
    if n_subjects <= most:
        return order
    n_batches, n_together = -(-len(order) // batch), -(-n_subjects // (most - 1))
    n_parts = max(n_batches // n_together, 1)
    ends = batch * np.linspace(0, n_batches, n_parts + 1).round().astype(np.int64)
    parts = []
    for start, stop in pairwise(ends.tolist()):
        some = order[start:stop]
        rank = torch.randperm(n_subjects, generator=generator).numpy()
        some = some[np.argsort(rank[subject[some]], kind="stable")]
        n_full = len(some) // batch
        shuffled = torch.randperm(n_full, generator=generator).numpy()
        parts += [some[: n_full * batch].reshape(n_full, batch)[shuffled].ravel()]
        parts += [some[n_full * batch :]]
    return np.concatenate(parts)
