"""Ridge regression from responses to image features, in closed form, without stored weights.

All outputs share one penalty, so the predictions of new responses are a product with the training
targets, A Y, where A (rows, training rows) does not depend on the targets:

    A = 1/n + Z_new (Z^T Z + alpha I)^-1 Z^T = 1/n + Z_new Z^T (Z Z^T + alpha I)^-1

Z are the training responses, each voxel standardised by its training mean and deviation. The
penalty leaves out the intercept: rows of A sum to 1, as those of Z_new Z^T (...)^-1 sum to 0. One
eigendecomposition gives A for every alpha; targets pass by in blocks (`streaming`).

Memory, for 70,000 trials of 40,000 voxels and 425,984 outputs, all in GB (1e9 bytes):

    responses, float16                                           5.6
    Z^T Z and its eigenvectors, float64, 40,000 x 40,000        12.8 + 12.8
    -> most, during the decomposition                           31.2
    after it: responses and eigenvectors                        18.4
    A, float32, for 1,000 test and 1,000 held-out images         0.6
    their predictions, float32, 2,000 x 425,984                  3.4
    a block of 64 images' targets                                0.1
    -> while targets pass by                                    22.5

NSD's 9,000 averaged images take the dual form, 9,000 x 9,000: 0.6 + 0.6 GB.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from brainit.core.errors import PipelineError
from brainit.core.shards import shard_ranges

_ROWS_PER_BLOCK = 2048
"""Responses standardised at a time: 0.7 GB of 40,000 voxels."""


@dataclass(frozen=True)
class Ridge:
    """A decomposition of training responses `betas` (rows, voxels).

    `mean` and `sd` (voxels,) standardise; voxels whose `sd` is 0 are left out. `eigenvalues` are of
    Z Z^T in the dual form, else of Z^T Z; `vectors` has an eigenvector in each column.
    """

    betas: NDArray[Any]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    eigenvalues: NDArray[np.float64]
    vectors: NDArray[np.float64]
    is_dual: bool

    @property
    def n_rows(self) -> int:
        """Number of training rows."""
        return len(self.betas)

    @property
    def mean_eigenvalue(self) -> float:
        """trace(Z Z^T) / n: penalties are given as multiples of it."""
        return float(self.eigenvalues.sum()) / self.n_rows

    def coordinates(self, betas: NDArray[Any]) -> NDArray[np.float64]:
        """Return responses in the eigenvectors: Z_new Z^T Q in the dual form, else Z_new V."""
        new = _standardised(betas, self.mean, self.sd)
        if not self.is_dual:
            return new @ self.vectors
        products = [new @ block.T for _, block in _blocks(self.betas, self.mean, self.sd)]
        return np.concatenate(products, axis=1) @ self.vectors

    def weights(self, coordinates: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
        """Return A (rows, training rows) of responses with these `coordinates`; alpha > 0."""
        scaled = coordinates / (self.eigenvalues + alpha)
        back = scaled @ self.vectors.T
        if not self.is_dual:
            blocks = _blocks(self.betas, self.mean, self.sd)
            back = np.concatenate([back @ block.T for _, block in blocks], axis=1)
        return back + 1.0 / self.n_rows

    def predict(
        self, betas: NDArray[Any], targets: NDArray[Any], alpha: float
    ) -> NDArray[np.float64]:
        """Return the predicted targets (rows, outputs) of responses, from those of training."""
        return self.weights(self.coordinates(betas), alpha) @ np.asarray(targets, dtype=np.float64)


def fit_ridge(
    betas: NDArray[Any], sd: NDArray[np.float64] | None = None, is_dual: bool | None = None
) -> Ridge:
    """Decompose training responses (rows, voxels).

    `sd` None: the deviations of these rows (n - 1). `is_dual` None: the dual form where there are
    fewer rows than voxels; both forms give the same predictions. Raises `PipelineError` where no
    voxel varies.
    """
    mean, deviation = _mean_and_sd(betas)
    sd = deviation if sd is None else sd
    n_rows, n_varying = len(betas), int((sd > 0).sum())
    if n_rows < 2 or not n_varying:
        raise PipelineError(
            "training responses",
            "at least 2 rows and a voxel that varies",
            f"{n_rows} rows, {n_varying} voxels that vary",
            "check the betas and the trial table, and rerun prepare_betas",
            code="bad-values",
        )
    dual = n_rows < n_varying if is_dual is None else is_dual
    gram = _dual_gram(betas, mean, sd) if dual else _primal_gram(betas, mean, sd)
    # The transpose of a symmetric matrix is in Fortran's order: LAPACK overwrites it in place.
    eigenvalues, vectors = eigh(gram.T, overwrite_a=True, check_finite=False)
    return Ridge(betas, mean, sd, np.maximum(eigenvalues, 0.0), vectors, dual)


def _mean_and_sd(betas: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation (n - 1) of each voxel; exactly 0 for a constant one."""
    n_rows, n_voxels = betas.shape
    total, squares = np.zeros(n_voxels), np.zeros(n_voxels)
    ranges = shard_ranges(n_rows, _ROWS_PER_BLOCK)
    for start, stop in ranges:
        total += betas[start:stop].astype(np.float64).sum(0)
    mean = total / max(n_rows, 1)
    is_constant = np.ones(n_voxels, dtype=bool)
    for start, stop in ranges:
        block = betas[start:stop]
        squares += ((block.astype(np.float64) - mean) ** 2).sum(0)
        is_constant &= (block == betas[0]).all(0)
    return mean, np.where(is_constant, 0.0, np.sqrt(squares / max(n_rows - 1, 1)))


def _standardised(
    betas: NDArray[Any], mean: NDArray[np.float64], sd: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the z-scores of the voxels that vary."""
    varies = sd > 0
    return (betas[:, varies].astype(np.float64) - mean[varies]) / sd[varies]


def _blocks(
    betas: NDArray[Any], mean: NDArray[np.float64], sd: NDArray[np.float64]
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield the z-scores of consecutive rows."""
    for start, stop in shard_ranges(len(betas), _ROWS_PER_BLOCK):
        yield slice(start, stop), _standardised(betas[start:stop], mean, sd)


def _dual_gram(
    betas: NDArray[Any], mean: NDArray[np.float64], sd: NDArray[np.float64]
) -> NDArray[np.float64]:
    gram = np.empty((len(betas), len(betas)))
    for rows, block in _blocks(betas, mean, sd):
        for columns, other in _blocks(betas, mean, sd):
            if columns.start <= rows.start:
                gram[rows, columns] = block @ other.T
                gram[columns, rows] = gram[rows, columns].T
    return gram


def _primal_gram(
    betas: NDArray[Any], mean: NDArray[np.float64], sd: NDArray[np.float64]
) -> NDArray[np.float64]:
    n_varying = int((sd > 0).sum())
    gram = np.zeros((n_varying, n_varying))
    for _, block in _blocks(betas, mean, sd):
        for start, stop in shard_ranges(n_varying, _ROWS_PER_BLOCK):
            gram[start:stop] += block[:, start:stop].T @ block
    return gram
