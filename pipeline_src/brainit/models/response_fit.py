"""How well predicted responses fit measured ones, and the weights of the voxels in it.

The criterion of brain-consistent search, after the brain-optimised inference of Kneeland et al.
2023 (arXiv 2312.07705), who keep the samples whose responses, predicted by an encoder, come nearest
to the measured ones. Nearest is here by Pearson's correlation over voxels, as Kay et al. 2008
identify images by, with voxels weighted by the encoder's accuracy; the encoder is the universal
one.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.artifacts import read_artifact, write_artifact
from brainit.core.errors import PipelineError
from brainit.core.files import sha256_of

WEIGHTS = "voxel_weights"


def response_fit(
    measured: Float[Tensor, "images voxels"],
    predicted: Float[Tensor, "images voxels"],
    weights: Float[Tensor, "voxels"],
) -> Float[Tensor, "images"]:
    """Return the weighted correlation over voxels of each image's two patterns, in [-1, 1].

    With x measured, y predicted, w >= 0 and means m(x) = sum_v w_v x_v / sum_v w_v::

        fit = sum_v w_v (x_v - m(x)) (y_v - m(y))
              / sqrt(sum_v w_v (x_v - m(x))^2 * sum_v w_v (y_v - m(y))^2)

    0 where a pattern is constant over the voxels with weight. With equal weights it is Pearson's
    correlation. In float64.
    """
    share = weights.double() / weights.double().sum()
    first, second = (
        pattern - (share * pattern).sum(dim=1, keepdim=True)
        for pattern in (measured.double(), predicted.double())
    )
    scale = ((share * first**2).sum(dim=1) * (share * second**2).sum(dim=1)).sqrt()
    product = (share * first * second).sum(dim=1)
    return torch.where(scale > 0, product / scale.clamp_min(1e-300), torch.zeros_like(scale))


def weights_of_accuracy(accuracy: Float[Tensor, "voxels"]) -> NDArray[np.float32]:
    """Return weights max(0, r) of voxels that an encoder predicts with correlation r."""
    weights: NDArray[np.float32] = accuracy.clamp_min(0.0).cpu().numpy().astype(np.float32)
    return weights


def write_weights(
    path: Path, weights: NDArray[np.float32], subject: str, n_images: int, encoder: Path
) -> None:
    """Write the weights of a subject's voxels; `n_images` are those they were measured on."""
    about = {"subject": subject, "n_images": n_images, "encoder": sha256_of(encoder)}
    write_artifact(path, WEIGHTS, {"weight": weights}, about)


def read_weights(path: Path, subject: str, n_voxels: int, encoder: Path) -> NDArray[np.float32]:
    """Read the weights of a subject's voxels.

    Raises `PipelineError` for those of another subject, of other voxels or of another encoder.
    """
    artifact = read_artifact(path, WEIGHTS)
    weights: NDArray[np.float32] = artifact["weight"]
    about = (artifact.attributes["subject"], len(weights), artifact.attributes["encoder"])
    expected = (subject, n_voxels, sha256_of(encoder))
    if about != expected:
        raise PipelineError(
            path,
            f"weights of {n_voxels} voxels of {subject}, of the encoder {encoder}",
            f"those of {len(weights)} voxels of {about[0]}, or of another encoder",
            "delete the file and rerun weigh_voxels with this encoder",
            code="inconsistent-inputs",
        )
    return weights
