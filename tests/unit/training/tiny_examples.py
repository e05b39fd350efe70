"""Two made-up subjects, and a BIT for them."""

import numpy as np
import torch
from tests.small_models import small_bit

from brainit.data.fmri import SubjectFmri
from brainit.models.brain_transformer import BrainInteractionTransformer

N_VOXELS = {"subj01": 12, "subj02": 9}
N_EXTERNAL = 7


def fmri(subject: str, n_images: int, first: int) -> SubjectFmri:
    rng = np.random.default_rng(int(subject[-1]))
    betas = rng.normal(size=(n_images, N_VOXELS[subject])).astype(np.float16)
    ids = np.arange(first, first + n_images)
    return SubjectFmri(subject, betas, ids, np.ones(n_images, dtype=np.int64))


def bit(n_queries: int, out_width: int, n_voxels: int = 21) -> BrainInteractionTransformer:
    torch.manual_seed(0)
    return small_bit(torch.arange(n_voxels) % 4, 4, n_queries=n_queries, out_width=out_width)
