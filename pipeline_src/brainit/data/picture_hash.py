"""Find pictures that are the same, or nearly so, by perceptual hashes.

A picture's hash is 63 signs of low frequencies (pHash, Zauner 2010): resizing, compression or a
little blur change few of them. A pair with a small distance of hashes is taken for one picture only
if small versions of both correlate, too, since smooth pictures have chance hashes. Other crops,
mirrored or rotated versions are not found.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

SMALL_SIDE = 16
"""Side of the small version of a picture, in pixels."""
LEAST_CORRELATION = 0.95
"""Of the small versions of two pictures that are taken for one, over pixels and colours."""

_HASHED_SIDE, _FREQUENCIES = 32, 8
_MOST_AT_ONCE = 1 << 23


@dataclass(frozen=True)
class Pictures:
    """Hashes (pictures,) and small versions (pictures, values) of pictures.

    Small versions have mean 0 and norm 1; those of plain pictures are 0.
    """

    hashes: NDArray[np.uint64]
    small: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.hashes)

    def take(self, index: NDArray[np.integer]) -> "Pictures":
        """Return the pictures `index`."""
        return Pictures(self.hashes[index], self.small[index])


def describe(pixels: NDArray[np.uint8]) -> tuple[np.uint64, NDArray[np.float16]]:
    """Return hash and small version of one picture, 0..255, of axes (side, side, rgb)."""
    image = Image.fromarray(pixels)
    hashed = np.asarray(_resized(image, _HASHED_SIDE), dtype=np.float32)
    small = np.asarray(_resized(image, SMALL_SIDE), dtype=np.float32)
    grey = hashed @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    low = np.asarray(dctn(grey, norm="ortho"))[:_FREQUENCIES, :_FREQUENCIES].ravel()[1:]
    signs = low > np.median(low)
    code = np.packbits(np.concatenate([[False], signs])).view(">u8")[0]
    centred = (small - small.mean()).ravel()
    norm = float(np.linalg.norm(centred))
    unit = centred / norm if norm > 1.0 else np.zeros_like(centred)
    return np.uint64(code), unit.astype(np.float16)


def _resized(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), Image.Resampling.BOX)


def near_pairs(
    first: Pictures, second: Pictures, most_bits: int
) -> list[tuple[int, int, int, float]]:
    """Return the pairs that are taken for one picture: numbers in both, bits apart, correlation.

    Their hashes differ in at most `most_bits` bits, and their small versions correlate by at least
    `LEAST_CORRELATION`. Plain pictures are in no pair.
    """
    pairs = []
    n_rows = max(_MOST_AT_ONCE // max(len(second), 1), 1)
    for start in range(0, len(first), n_rows):
        block = first.hashes[start : start + n_rows, None]
        bits = np.bitwise_count(block ^ second.hashes[None])
        for row, other in np.argwhere(bits <= most_bits).tolist():
            pair = first.small[start + row], second.small[other]
            correlation = float(np.dot(*(small.astype(np.float64) for small in pair)))
            if correlation >= LEAST_CORRELATION:
                pairs.append((start + row, other, int(bits[row, other]), correlation))
    return pairs
