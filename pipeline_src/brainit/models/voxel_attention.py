"""One tapped layer of the voxel encoder: where in the image each voxel looks (arXiv 2406.12179).

A voxel's vector is the query of an attention over the image's tokens; what it attends to passes
LayerNorm, dropout and a residual MLP. Two forms give the same numbers: the literal one, for a set
of voxels per image (training), and the hoisted one, for the same voxels in all images. There the
query does not depend on the image, the key projection folds into it,
q . (W x + b + p) = (W^T q) . x + q . (b + p), and the rest is one fused attention with a bias.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class HoistedQuery:
    """Terms of one layer that depend on its voxels only: folded query and score bias."""

    query: Float[Tensor, "voxels feature"]
    bias: Float[Tensor, "voxels tokens"]

    def rows(self, voxels: slice) -> "HoistedQuery":
        """Return the part of some voxels."""
        return HoistedQuery(self.query[voxels], self.bias[voxels])


class VoxelAttention(nn.Module):
    """Spatial attention of voxels over the tokens of one backbone layer, and the MLP after it.

    Parameters
    ----------
    token_width
        Width of the backbone's tokens.
    feature_width
        Width of the projected features, which are the attention's values.
    voxel_width
        Width of a voxel's vector, of the queries and of the keys.
    dropout
        Share of the attended features set to zero in training.
    """

    def __init__(
        self, token_width: int, feature_width: int, voxel_width: int, dropout: float
    ) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(token_width)
        self.project = nn.Linear(token_width, feature_width)
        self.query = nn.Linear(voxel_width, voxel_width)
        self.key = nn.Linear(feature_width, voxel_width)
        self.norm = nn.LayerNorm(feature_width)
        self.dropout = nn.Dropout(dropout)
        self.widen = nn.Linear(feature_width, 4 * feature_width)
        self.narrow = nn.Linear(4 * feature_width, feature_width)

    def features(
        self, tokens: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens feature"]:
        """Return the projected features of the tokens, registers already dropped."""
        return self.project(self.norm_in(tokens))

    def forward(
        self,
        features: Float[Tensor, "batch tokens feature"],
        vectors: Float[Tensor, "batch sampled voxel_width"],
        position: Float[Tensor, "tokens voxel_width"],
    ) -> Float[Tensor, "batch sampled feature"]:
        """Return the features that each image's voxels read; scores are not scaled by the width."""
        keys = self.key(features) + position
        scores = self.query(vectors) @ keys.transpose(1, 2)  # (batch, sampled, tokens)
        return self._mix(self.dropout(self.norm(scores.softmax(dim=-1) @ features)))

    def hoist(
        self,
        vectors: Float[Tensor, "voxels voxel_width"],
        position: Float[Tensor, "tokens voxel_width"],
    ) -> HoistedQuery:
        """Return the terms that do not depend on the image."""
        query = self.query(vectors)
        return HoistedQuery(query @ self.key.weight, query @ (position + self.key.bias).T)

    def attend_hoisted(
        self, features: Float[Tensor, "batch tokens feature"], hoisted: HoistedQuery
    ) -> Float[Tensor, "batch voxels feature"]:
        """Return the features that the hoisted voxels read in every image, without dropout."""
        query = hoisted.query.expand(len(features), 1, -1, -1)
        values = features.unsqueeze(1)
        attended = F.scaled_dot_product_attention(
            query, values, values, attn_mask=hoisted.bias, scale=1.0
        )
        return self._mix(self.norm(attended.squeeze(1)))

    def _mix(
        self, attended: Float[Tensor, "batch voxels feature"]
    ) -> Float[Tensor, "batch voxels feature"]:
        return self.narrow(F.gelu(self.widen(attended))).add_(attended)


def scaled_normal(*shape: int, width: int) -> Tensor:
    """Draw an embedding as the released code does: normal with deviation 0.1 / (2 sqrt(width)).

    Reads torch's global generator; call it inside `seeded_init`.
    """
    return torch.randn(*shape) * (0.1 / (2.0 * width**0.5))
