"""A contrastive term beside the semantic BIT's L2, as MindEye2 trains its projector (not in P).

BIT's tokens are trained by L2 alone, which shrinks them; features trained to find their image among
those of a batch retrieve better. A projector maps each predicted token; all tokens of an image, one
after the other, are its feature. Its examples' true tokens are the candidates.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from brainit.core.errors import PipelineError
from brainit.models.brain_transformer import BitDecoder
from brainit.training.examples import ExampleBatch
from brainit.training.peers.losses import mixco_nce


def image_shares(batch: ExampleBatch) -> Float[Tensor, "batch batch"]:
    """Return each example's share of every target: 1 / n for the n examples of its image, else 0.

    So repeats of an image, and an image that several subjects saw, are no wrong answers.
    """
    keys = np.stack([batch.image, batch.is_external.astype(np.int64)], axis=1)
    is_same = torch.from_numpy((keys[:, None] == keys[None]).all(-1)).float()
    return is_same / is_same.sum(-1, keepdim=True)


def contrastive_loss(
    features: Float[Tensor, "batch tokens width"],
    true: Float[Tensor, "batch tokens width"],
    shares: Float[Tensor, "batch batch"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Return the symmetric InfoNCE of projected against true tokens, in float32.

    With f_i and t_j the flattened tokens of length 1, p the softmax of f_i . t_j / temperature over
    j (over i the other way round) and s the shares: the mean over both ways and over examples of
    - sum_j s_ij log p_ij.
    """
    with torch.autocast(features.device.type, enabled=False):
        asked, candidates = (F.normalize(v.float().flatten(1), dim=-1) for v in (features, true))
        return mixco_nce(asked, candidates, temperature, shares.to(features.device))


def require_projector(path: Path, base: BitDecoder) -> None:
    """Raise `PipelineError` where a BIT lacks the projector of the contrastive term."""
    if base.model.projector is None:
        raise PipelineError(
            path,
            "a BIT with a projector, as bit_semantic.contrastive_weight asks",
            "one without",
            "set bit_semantic.contrastive_weight to 0, or train the other subjects' BIT with it",
            code="wrong-settings",
        )
