"""PixCorr and SSIM, one number per image (paper section 5.2; MindEye2's protocol).

Both images are first resized to `evaluation.eval_size`, then to `evaluation.pixel_size` (425),
bilinear with antialiasing.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from skimage.color import rgb2gray
from skimage.metrics import structural_similarity
from torch import Tensor

from brainit.data.images import resize_images
from brainit.evaluation.metrics.two_way import row_correlations, standardised


def to_evaluation_size(
    images: Float[Tensor, "images rgb height width"], eval_size: int, pixel_size: int
) -> Float[Tensor, "images rgb side side"]:
    """Resize images in [0, 1] to `eval_size` pixels a side, then to `pixel_size`."""
    return resize_images(resize_images(images, eval_size), pixel_size)


def pixel_correlations(
    recons: Float[Tensor, "images rgb height width"],
    targets: Float[Tensor, "images rgb height width"],
) -> Float[Tensor, "images"]:
    """Correlate all RGB values of each reconstruction with those of its target (PixCorr).

    In [-1, 1], float64. An image without variance has correlation 0, not NaN.
    """
    return row_correlations(recons.flatten(1), targets.flatten(1))


class PixCorrOfOthers:
    """Mean PixCorr over all pairs of different images, added block by block.

    A correlation is a product of standardised images, so sums of these suffice.
    """

    def __init__(self) -> None:
        self._totals: Float[Tensor, "2 values"] | None = None
        self._own, self._n_images = 0.0, 0

    def add(
        self,
        recons: Float[Tensor, "images rgb height width"],
        targets: Float[Tensor, "images rgb height width"],
        pixcorr: Float[Tensor, "images"],
    ) -> None:
        """Add a block of images and the PixCorr of each with its own target."""
        pair = (recons, targets)
        totals = torch.stack([standardised(images.flatten(1)).sum(dim=0) for images in pair])
        self._totals = totals if self._totals is None else self._totals + totals
        self._own += float(pixcorr.sum())
        self._n_images += len(pixcorr)

    def mean(self) -> float:
        """Return the mean; NaN for fewer than two images."""
        if self._totals is None or self._n_images < 2:
            return float("nan")
        others = float(self._totals[0] @ self._totals[1]) - self._own
        return others / (self._n_images * (self._n_images - 1))


def structural_similarities(
    recons: Float[Tensor, "images rgb height width"],
    targets: Float[Tensor, "images rgb height width"],
    in_colour: bool = False,
) -> Float[Tensor, "images"]:
    """Return SSIM of each reconstruction, on grey values or, `in_colour`, as the mean over RGB.

    Images in [0, 1]; Gaussian weights of sigma 1.5, population covariance, data range 1
    (scikit-image's `structural_similarity`, as MindEye2 calls it). At most 1. Images are scored in
    parallel, one per torch thread.
    """
    pairs = (_channels_last(recons), _channels_last(targets))
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        values = list(threads.map(partial(_similarity, in_colour=in_colour), *pairs))
    return torch.tensor(values, dtype=torch.float64)


def _channels_last(images: Tensor) -> NDArray[np.float32]:
    return images.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _similarity(recon: NDArray[np.float32], target: NDArray[np.float32], in_colour: bool) -> float:
    if not in_colour:
        recon, target = rgb2gray(recon), rgb2gray(target)
    value = structural_similarity(
        recon,
        target,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=-1 if in_colour else None,
    )
    return float(value)
