"""Predictions from targets that pass by in blocks, their moments, and rescaled predictions.

Neither the targets of all images nor weights of the regression are ever in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Moments:
    """Mean and deviation of each output over weighted rows, merged block by block.

    `squares` is the sum of squared deviations from `mean`.
    """

    n_rows: float
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[Any], counts: NDArray[Any] | None = None) -> "Moments":
        """Return the moments of `values` (rows, outputs), each row counted `counts` times."""
        rows = np.asarray(values, dtype=np.float64)
        times = np.ones(len(rows)) if counts is None else np.asarray(counts, dtype=np.float64)
        mean = times @ rows / times.sum()
        return cls(float(times.sum()), mean, times @ (rows - mean) ** 2)

    def merged(self, other: "Moments") -> "Moments":
        """Return the moments of both sets of rows (Chan, Golub and LeVeque 1983)."""
        total = self.n_rows + other.n_rows
        shift = other.mean - self.mean
        between = shift**2 * (self.n_rows * other.n_rows / total)
        mean = self.mean + shift * (other.n_rows / total)
        return Moments(total, mean, self.squares + other.squares + between)

    @property
    def sd(self) -> NDArray[np.float64]:
        """Deviation of each output (n)."""
        return np.sqrt(self.squares / self.n_rows)


def weights_by_image(
    weights: NDArray[np.float64], image_of_row: NDArray[np.int64], images: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Add up the weights (rows, training rows) of the rows that show the same image.

    The columns are `images`, sorted: each image's targets are then needed once.
    """
    column = np.searchsorted(images, image_of_row)
    summed = np.zeros((len(images), len(weights)))
    np.add.at(summed, column, weights.T)
    return summed.T.astype(np.float32)


class StreamedProducts:
    """Products of weights (rows, images) with the images' targets, which come in blocks.

    Outputs `slices[i]` of all `n_outputs` have the weights `weights[i]`; weights and results are
    float32.
    """

    def __init__(
        self, weights: Sequence[NDArray[np.float32]], slices: Sequence[slice], n_outputs: int
    ) -> None:
        self._parts = list(zip(weights, slices, strict=True))
        self._n_images, self._n_added = weights[0].shape[1], 0
        self._sum = np.zeros((len(weights[0]), n_outputs), dtype=np.float32)

    def add(self, targets: NDArray[np.float32]) -> None:
        """Add the targets (images, outputs) of the next images."""
        images = slice(self._n_added, self._n_added + len(targets))
        for weights, outputs in self._parts:
            self._sum[:, outputs] += weights[:, images] @ targets[:, outputs]
        self._n_added += len(targets)

    @property
    def values(self) -> NDArray[np.float32]:
        """The products (rows, outputs); raises `ValueError` unless all images were added."""
        if self._n_added != self._n_images:
            raise ValueError(f"targets of {self._n_added} images, weights of {self._n_images}")
        return self._sum


def rescaled(predicted: NDArray[Any], held_out: Moments, training: Moments) -> NDArray[Any]:
    """Give predicted outputs the training targets' mean and deviation.

    (y - mean_held_out) / sd_held_out * sd_training + mean_training, where `held_out` are moments of
    predictions of rows that were not fitted: ridge shrinks, and in-sample predictions shrink less.
    Nothing depends on the other predictions. An output that is predicted constant stays so.
    """
    factor = np.zeros_like(training.sd)
    np.divide(training.sd, held_out.sd, out=factor, where=held_out.sd > 0)
    kind = predicted.dtype
    scaled = (predicted - held_out.mean.astype(kind)) * factor.astype(kind)
    return scaled + training.mean.astype(kind)
