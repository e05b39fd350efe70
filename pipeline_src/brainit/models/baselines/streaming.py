"""Predictions from targets that pass by in blocks, their moments, and rescaled predictions.

Neither the targets of all images nor weights of the regression are ever in memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
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

    def merge(self, other: "Moments") -> None:
        """Add rows: (Chan, Golub and LeVeque 1983)."""
        total = self.n_rows + other.n_rows
        shift = other.mean - self.mean
        self.squares += other.squares + shift**2 * (self.n_rows * other.n_rows / total)
        self.mean += shift * (other.n_rows / total)
        self.n_rows = total

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


def streamed_products(
    weights: NDArray[np.float32], blocks: Iterable[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return `weights` (rows, images) times the targets (images, outputs), given in blocks.

    Raises `ValueError` where the blocks hold other than all images, in order.
    """
    predicted, start = np.zeros((len(weights), 0), dtype=np.float32), 0
    for block in blocks:
        if not start:
            predicted = np.zeros((len(weights), block.shape[1]), dtype=np.float32)
        predicted += weights[:, start : start + len(block)] @ block
        start += len(block)
    if start != weights.shape[1]:
        raise ValueError(f"targets of {start} images for weights of {weights.shape[1]}")
    return predicted


def rescaled(predicted: NDArray[Any], held_out: Moments, training: Moments) -> NDArray[np.float64]:
    """Give predicted outputs the training targets' mean and deviation.

    (y - mean_held_out) / sd_held_out * sd_training + mean_training, where `held_out` are moments of
    predictions of rows that were not fitted: ridge shrinks, and in-sample predictions shrink less.
    Nothing depends on the other predictions. An output that is predicted constant stays so.
    """
    factor = np.divide(
        training.sd, held_out.sd, out=np.zeros_like(training.sd), where=held_out.sd > 0
    )
    return (predicted - held_out.mean) * factor + training.mean
