"""Predictions of responses that were not fitted, and the penalty with the least error on them.

`ValidationRows` are other responses. `LeftOutRows` are training rows, each predicted without its
group of rows (the repeats of an image): with S the smoother A of the training rows and G a group,

    Y_G - predicted_G = (I - S_GG)^-1 (Y_G - S_G Y),

exact for ridge with an intercept and fixed standardisation (of which a group changes little), so
that leaving out needs no second decomposition.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.models.baselines.ridge import Ridge


@runtime_checkable
class HeldOutRows(Protocol):
    """Rows whose predictions do not depend on their own targets."""

    def weights(self, alpha: float) -> NDArray[np.float64]:
        """Return the weights (held-out rows, training rows) of the training targets.

        The product of both is the predictions.
        """


class ValidationRows:
    """Responses (rows, voxels) to images that were not fitted."""

    def __init__(self, ridge: Ridge, betas: NDArray[Any]) -> None:
        self._ridge, self._coordinates = ridge, ridge.coordinates(betas)

    def weights(self, alpha: float) -> NDArray[np.float64]:
        """Return the weights of the training rows; see `HeldOutRows`."""
        return self._ridge.weights(self._coordinates, alpha)


class LeftOutRows:
    """Training rows, each predicted from all rows outside its group.

    `groups` (training rows,) names each row's group; `rows` are the positions of whole groups, or
    None for all. Raises `PipelineError` where all rows are of one group.
    """

    def __init__(
        self, ridge: Ridge, groups: NDArray[np.int64], rows: NDArray[np.int64] | None = None
    ) -> None:
        if len(np.unique(groups)) < 2:
            raise PipelineError(
                "training trials",
                "at least 2 images, so that one can be left out",
                "1 image",
                "use a longer duration",
                code="missing-data",
            )
        self.rows = np.arange(len(groups)) if rows is None else rows
        self._ridge, self._groups = ridge, groups[self.rows]
        self._coordinates = ridge.coordinates(ridge.betas[self.rows])

    def weights(self, alpha: float) -> NDArray[np.float64]:
        """Return the weights of the training rows; 0 within a row's group."""
        smoother = self._ridge.weights(self._coordinates, alpha)
        out = np.empty_like(smoother)
        for group in np.unique(self._groups):
            here = np.flatnonzero(self._groups == group)
            own = np.zeros((len(here), smoother.shape[1]))
            own[np.arange(len(here)), self.rows[here]] = 1.0
            rest = own - smoother[here]
            out[here] = own - np.linalg.solve(rest[:, self.rows[here]], rest)
        return out


class ByImage:
    """Held-out rows averaged by image, as the responses to a test image are.

    `images` are the ids in `image_of_row`, ascending. By linearity the mean of the predictions is
    the prediction of the mean response.
    """

    def __init__(self, held_out: HeldOutRows, image_of_row: NDArray[np.int64]) -> None:
        self._held_out = held_out
        self.images, self._image, self._n_rows = np.unique(
            image_of_row, return_inverse=True, return_counts=True
        )

    def weights(self, alpha: float) -> NDArray[np.float64]:
        """Return the mean weights (images, training rows) of each image's rows."""
        rows = self._held_out.weights(alpha)
        total = np.zeros((len(self.images), rows.shape[1]))
        np.add.at(total, self._image, rows)
        return total / self._n_rows[:, None]


def held_out_errors(
    held_out: HeldOutRows,
    targets: NDArray[Any],
    held_out_targets: NDArray[Any],
    alphas: Sequence[float],
) -> NDArray[np.float64]:
    """Return the mean squared error (alphas, outputs) over held-out rows.

    `targets` (training rows, outputs) and `held_out_targets` (held-out rows, outputs).
    """
    fitted, true = (np.asarray(t, dtype=np.float64) for t in (targets, held_out_targets))
    return np.stack([((held_out.weights(alpha) @ fitted - true) ** 2).mean(0) for alpha in alphas])


def choose_alpha(
    held_out: HeldOutRows,
    targets: NDArray[Any],
    held_out_targets: NDArray[Any],
    alphas: Sequence[float],
) -> float:
    """Return the one of `alphas` with the least mean squared error over held-out rows and outputs.

    All outputs share it: on few validation images a penalty of its own for each output errs more.
    """
    errors = held_out_errors(held_out, targets, held_out_targets, alphas)
    return float(alphas[int(errors.mean(1).argmin())])
