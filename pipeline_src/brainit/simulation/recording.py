"""Simulate the recording: trials with noise, drift and missing vertices, and their ncsnr."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainit.simulation.brain import Brain, signal_share

_DRIFT = 0.25
_SHARED_NOISE = 0.1
_MISSING_SHARE = (0.00, 0.04, 0.08, 0.12)


@dataclass(frozen=True)
class Recording:
    """Betas of one subject's masked vertices in percent signal change: (trials, voxels)."""

    betas: NDArray[np.float32]
    is_missing: NDArray[np.bool_]


def standardise(responses: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return responses with zero mean and unit deviation over images; silent voxels stay zero."""
    centred = responses - responses.mean(axis=0)
    deviation = centred.std(axis=0)
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 1e-6)


def record(
    brain: Brain,
    responses: NDArray[np.float32],
    trials_per_session: int,
    number: int,
    generator: np.random.Generator,
) -> Recording:
    """Turn standardised responses (trials, voxels) into betas.

    beta = mean + amplitude x gain (sqrt(s) signal + sqrt(1 - s) noise) + drift, for a signal share
    s of the variance, a gain and offset per session and a slow drift within it. A tenth of the
    noise's variance lies in the brain's noise patterns, each with a value per trial. Some vertices
    are missing (NaN), as outside the scanned volume; later subjects miss more.
    """
    n_trials, n_voxels = responses.shape
    share = signal_share(brain.ceiling).astype(np.float32)
    mean = generator.normal(0.6, 0.5, (n_voxels,)).astype(np.float32)
    amplitude = np.exp(generator.normal(0.4, 0.4, (n_voxels,))).astype(np.float32)
    betas = np.empty((n_trials, n_voxels), dtype=np.float32)
    for start in range(0, n_trials, trials_per_session):
        rows = slice(start, start + trials_per_session)
        noise = _noise(brain, trials_per_session, generator)
        mixed = np.sqrt(share) * responses[rows] + np.sqrt(1 - share) * noise
        gain = np.float32(np.exp(generator.normal(0, 0.1)))
        offset = generator.normal(0, 0.3, (n_voxels,)).astype(np.float32)
        time = np.linspace(-1, 1, trials_per_session, dtype=np.float32)[:, None]
        drift = time * generator.normal(0, _DRIFT, (n_voxels,)).astype(np.float32)
        betas[rows] = mean + amplitude * gain * (mixed + drift * 0.5) + offset
    missing = generator.random((n_voxels,)) < _MISSING_SHARE[number % len(_MISSING_SHARE)]
    betas[:, missing] = np.nan
    return Recording(betas=betas, is_missing=missing)


def _noise(brain: Brain, n_trials: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Draw noise (trials, voxels) of unit variance: shared patterns and each voxel's own."""
    n_patterns, n_voxels = brain.noise_pattern.shape
    shared = generator.standard_normal((n_trials, n_patterns), dtype=np.float32)
    own = generator.standard_normal((n_trials, n_voxels), dtype=np.float32)
    noise = np.sqrt(_SHARED_NOISE) * (shared @ brain.noise_pattern)
    return (noise + np.sqrt(1 - _SHARED_NOISE) * own).astype(np.float32)


def ncsnr(
    betas: NDArray[np.float32], nsd_ids: NDArray[np.int64], trials_per_session: int
) -> NDArray[np.float32]:
    """Return the ncsnr of each voxel, estimated from the trials as NSD does.

    Trials are z-scored within the session. The noise variance is the variance over the repeats of
    an image, averaged over images; the signal variance is the rest of 1, at least 0.
    """
    z = np.concatenate(
        [
            (part - part.mean(axis=0)) / part.std(axis=0)
            for part in np.split(betas, range(trials_per_session, len(betas), trials_per_session))
        ]
    )
    order = np.argsort(nsd_ids, kind="stable")
    _, n_each = np.unique(nsd_ids, return_counts=True)
    groups = np.split(z[order], np.cumsum(n_each)[:-1])
    noise = np.mean([group.var(axis=0, ddof=1) for group in groups if len(group) == 3], axis=0)
    signal = np.maximum(0, 1 - noise)
    return np.sqrt(signal / noise).astype(np.float32)
