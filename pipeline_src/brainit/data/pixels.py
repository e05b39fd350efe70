"""Read stored stimuli and external images: uint8 shards, by row (paper 5.1, D).

A file apart from `data.images`, so that steps without networks need no torch.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.core.shards import ShardedArray

_GREY = 192
"""In place of an image that may not be shown."""


class PixelStore:
    """Square RGB images in uint8 shards; a row is an nsd_id or the number of an external image.

    Raises `PipelineError` for shards of other arrays, and for row numbers out of range.
    """

    def __init__(self, folder: Path) -> None:
        self._rows = ShardedArray(folder)
        shape = self._rows.row_shape
        if self._rows.dtype != np.uint8 or len(shape) != 3 or shape[0] != shape[1] or shape[2] != 3:
            raise PipelineError(
                folder,
                "uint8 images of axes (images, side, side, 3)",
                f"{self._rows.dtype} rows of shape {shape}",
                "delete the folder and rerun prepare_images",
                code="wrong-kind",
            )
        self.image_size: int = int(shape[0])
        """Side in pixels."""

    def __len__(self) -> int:
        return len(self._rows)

    def pixels(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images `index`, 0..255, of axes (images, side, side, rgb)."""
        return self._rows.rows(index)

    def pixels_into(
        self, index: NDArray[np.int64], out: NDArray[np.uint8], at: NDArray[np.int64]
    ) -> None:
        """Copy the images `index` to the rows `at` of `out`, of axes (images, side, side, rgb)."""
        self._rows.rows_into(index, out, at)

    @property
    def may_be_shown(self) -> bool:
        """False where the terms of the images forbid to pass them on, as figures do."""
        return not self._rows.attributes.get("private", False)

    def shown(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return images for a figure: plain grey where they may not be shown."""
        pixels = self.pixels(index)
        return pixels if self.may_be_shown else greyed(pixels)


def greyed(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the plain grey that stands for images which may not be shown."""
    return np.full_like(pixels, _GREY)
