"""Score of an encoder on held-out images: correlation per voxel (arXiv 2406.12179)."""

import torch
from jaxtyping import Float
from torch import Tensor


def voxel_correlation(
    predicted: Float[Tensor, "images voxels"], measured: Float[Tensor, "images voxels"]
) -> Float[Tensor, "voxels"]:
    """Return each voxel's Pearson correlation over images, in [-1, 1].

    A voxel that is constant on either side has correlation 0.
    """
    first = predicted - predicted.mean(dim=0)
    second = measured - measured.mean(dim=0)
    norms = first.norm(dim=0) * second.norm(dim=0)
    product = (first * second).sum(dim=0)
    return torch.where(norms > 0, product / norms.clamp_min(1e-12), torch.zeros_like(norms))


def encoder_loss(
    predicted: Float[Tensor, "batch sampled"],
    measured: Float[Tensor, "batch sampled"],
    kind: str,
) -> Float[Tensor, ""]:
    """Return the loss of one batch; cosines are taken across the sampled voxels of an image.

    `kind` "mse_minus_tenth_cosine" is MSE - 0.1 cos (released code), "tenth_mse_minus_cosine" is
    0.1 MSE - 0.9 cos (quoted from the encoder paper).
    """
    mse = torch.nn.functional.mse_loss(predicted, measured)
    cosine = torch.nn.functional.cosine_similarity(predicted, measured, dim=1).mean()
    if kind == "mse_minus_tenth_cosine":
        return mse - 0.1 * cosine
    return 0.1 * mse - 0.9 * cosine
