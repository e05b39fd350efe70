"""Broken on purpose, decoding falls to its null: mismatched trials, another subject's embeddings.

Shuffled clusters are in `test_truth_checks`: a trained BIT decodes on without V2C, since the voxel
embeddings hold the tuning too, so that it is the checks on clusters that fall.

A made-up brain: each voxel answers to one of 16 latent values of the image, and clusters hold
voxels of equal tuning in both subjects. The features to decode are linear in the latent values.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.small_models import small_bit
from torch import Tensor
from torch.nn import functional as F

from brainit.core.seeds import seeded_init
from brainit.core.streams import numpy_generator
from brainit.data.fmri import SubjectFmri, mismatched
from brainit.evaluation.metrics.two_way import (
    correlation_matrix,
    permutation_two_way,
    two_way_scores,
)
from brainit.models.brain_transformer import BrainInteractionTransformer

N_LATENT, N_VOXELS, N_TRAIN, N_TEST, N_STEPS = 16, 32, 300, 100, 60
SUBJECTS = {"subj01": slice(0, N_VOXELS), "subj02": slice(N_VOXELS, 2 * N_VOXELS)}


class Brains:
    """Latent values of all images, responses and tuning of two subjects, features of all images."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.latent = rng.normal(size=(N_TRAIN + N_TEST, N_LATENT))
        weights = rng.normal(size=(N_LATENT, 4 * 16)) / N_LATENT**0.5
        self.features = torch.from_numpy(self.latent @ weights).float().reshape(-1, 4, 16)
        self.tuning, self.fmri = [], {}
        for subject in SUBJECTS:
            tuning = rng.permutation(np.repeat(np.arange(N_LATENT), N_VOXELS // N_LATENT))
            gain = rng.choice([-1.0, 1.0], size=N_VOXELS)
            betas = self.latent[:, tuning] * gain + 0.3 * rng.normal(
                size=(len(self.latent), N_VOXELS)
            )
            ids = np.arange(len(self.latent))
            ones = np.ones(len(ids), dtype=np.int64)
            self.fmri[subject] = SubjectFmri(subject, betas.astype(np.float16), ids, ones)
            self.tuning.append(tuning)

    def of(self, subject: str, rows: slice) -> SubjectFmri:
        found = self.fmri[subject]
        parts = {name: getattr(found, name)[rows] for name in ("betas", "nsd_id", "n_repeats")}
        return replace(found, **parts)


def bit(voxel_cluster: NDArray[np.int64]) -> BrainInteractionTransformer:
    with seeded_init(0, "broken"):
        return small_bit(
            torch.from_numpy(voxel_cluster), N_LATENT, n_queries=4, out_width=16, width=32
        )


def trained(brains: Brains, shuffle: bool) -> BrainInteractionTransformer:
    model = bit(np.concatenate(brains.tuning))
    examples = {s: brains.of(s, slice(0, N_TRAIN)) for s in SUBJECTS}
    if shuffle:
        examples = {s: mismatched(fmri, 0, "train") for s, fmri in examples.items()}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    order = np.random.default_rng(1)
    for _ in range(N_STEPS):
        loss = torch.zeros(())
        for subject, fmri in examples.items():
            rows = order.permutation(N_TRAIN)[:64]
            betas = torch.from_numpy(fmri.betas[rows].astype(np.float32))
            target = brains.features[torch.from_numpy(fmri.nsd_id[rows])]
            loss = loss + F.mse_loss(model(betas, SUBJECTS[subject]), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def identification(
    brains: Brains, model: BrainInteractionTransformer, as_subject: str = "subj01"
) -> tuple[float, float, float]:
    """Return two-way identification of subj01's test images and the 99 % range of its null."""
    fmri = brains.of("subj01", slice(N_TRAIN, None))
    with torch.no_grad():
        predicted: Tensor = model(
            torch.from_numpy(fmri.betas.astype(np.float32)), SUBJECTS[as_subject]
        ).flatten(1)
    target = brains.features[N_TRAIN:].flatten(1)
    matrix = correlation_matrix(predicted, target)
    null = permutation_two_way(matrix, 2000, numpy_generator(0, "null"))
    low, high = np.percentile(null, (0.5, 99.5))
    return float(two_way_scores(predicted, target, matrix).mean()), float(low), float(high)


@pytest.fixture(scope="module")
def brains() -> Brains:
    return Brains()


@pytest.fixture(scope="module")
def whole(brains: Brains) -> BrainInteractionTransformer:
    return trained(brains, shuffle=False)


def test_whole_it_identifies(brains: Brains, whole: BrainInteractionTransformer) -> None:
    score, _, high = identification(brains, whole)
    assert score > 90.0 > high


def test_trained_on_mismatched_trials_it_falls_to_the_null(brains: Brains) -> None:
    score, low, high = identification(brains, trained(brains, shuffle=True))
    assert low <= score <= high


def test_with_another_subjects_embeddings_it_falls_to_the_null(
    brains: Brains, whole: BrainInteractionTransformer
) -> None:
    score, low, high = identification(brains, whole, as_subject="subj02")
    assert low <= score <= high
