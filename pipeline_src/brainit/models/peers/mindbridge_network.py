"""The networks of MindBridge (Wang et al. 2024, CVPR), with the released names; no code of it.

Responses of any number of voxels are max-pooled to one size; a subject's embedder maps them to a
shared space, its builder back; a shared translator and a head make the image's features.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

_EMBED_DROPOUT, _TRANSLATE_DROPOUT = 0.5, 0.15


def pooled(betas: Float[Tensor, "trials voxels"], n_bins: int) -> Float[Tensor, "trials bins"]:
    """Return the largest value of each bin of voxels, in their stored order.

    Bin i takes the positions from floor(i n / m) to ceil((i + 1) n / m) - 1, so that fewer voxels
    than bins repeat.
    """
    out: Tensor = F.adaptive_max_pool1d(betas, n_bins)
    return out


class Bottleneck(nn.Module):
    """Residual x + up(ReLU(down(x))); at the start it changes nothing."""

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.down_proj = nn.Linear(width, bottleneck)
        self.up_proj = nn.Linear(bottleneck, width)
        nn.init.zeros_(self.down_proj.bias)
        nn.init.zeros_(self.up_proj.weight)
        nn.init.zeros_(self.up_proj.bias)

    def forward(self, values: Float[Tensor, "trials width"]) -> Float[Tensor, "trials width"]:
        """Return the changed values."""
        change: Tensor = self.up_proj(F.relu(self.down_proj(values)))
        return values + change


class MindBridge(nn.Module):
    """Embedder and builder of each subject, shared translator, and a linear head for each output.

    `outputs` names the heads and the number of values of each.
    """

    def __init__(
        self,
        subjects: Sequence[str],
        *,
        n_bins: int,
        width: int,
        n_blocks: int,
        bottleneck: int,
        outputs: Mapping[str, int],
    ) -> None:
        super().__init__()
        self.n_bins = n_bins
        self.embedder = nn.ModuleDict(
            {name: _embedder(n_bins, width, bottleneck) for name in subjects}
        )
        self.builder = nn.ModuleDict(
            {name: _builder(n_bins, width, bottleneck) for name in subjects}
        )
        self.translator = nn.Module()
        self.translator.mlp = nn.ModuleList(_translator(width) for _ in range(n_blocks))
        self.heads = nn.ModuleDict({name: nn.Linear(width, n) for name, n in outputs.items()})

    def embed(
        self, subject: str, values: Float[Tensor, "trials bins"]
    ) -> Float[Tensor, "trials width"]:
        """Return a subject's pooled responses in the shared space."""
        embedded: Tensor = self.embedder[subject](values)
        return embedded

    def build(
        self, subject: str, embedded: Float[Tensor, "trials width"]
    ) -> Float[Tensor, "trials bins"]:
        """Return points of the shared space as pooled responses of a subject."""
        rebuilt: Tensor = self.builder[subject](embedded)
        return rebuilt

    def translate(self, embedded: Float[Tensor, "trials width"]) -> Float[Tensor, "trials width"]:
        """Return the shared space after the translator's residual blocks."""
        for block in self.translator.mlp:  # type: ignore[union-attr]
            embedded = embedded + block(embedded)
        return embedded

    def predict(
        self, embedded: Float[Tensor, "trials width"], head: str = "image"
    ) -> Float[Tensor, "trials values"]:
        """Return the outputs of a head."""
        out: Tensor = self.heads[head](self.translate(embedded))
        return out


def _embedder(n_bins: int, width: int, bottleneck: int) -> nn.Sequential:
    layers = (Bottleneck(n_bins, bottleneck), nn.Linear(n_bins, width), nn.LayerNorm(width))
    return nn.Sequential(*layers, nn.GELU(), nn.Dropout(_EMBED_DROPOUT))


def _builder(n_bins: int, width: int, bottleneck: int) -> nn.Sequential:
    layers = (nn.Linear(width, n_bins), nn.LayerNorm(n_bins), nn.GELU())
    return nn.Sequential(*layers, Bottleneck(n_bins, bottleneck))


def _translator(width: int) -> nn.Sequential:
    layers = (nn.Linear(width, width), nn.LayerNorm(width), nn.GELU())
    return nn.Sequential(*layers, nn.Dropout(_TRANSLATE_DROPOUT))


def cycled(
    network: MindBridge, embedded: Float[Tensor, "trials width"], other: str
) -> Float[Tensor, "trials width"]:
    """Return points of the shared space after a detour through another subject's responses."""
    return network.embed(other, network.build(other, embedded))


def normalised(features: Float[Tensor, "trials *rest"]) -> Float[Tensor, "trials values"]:
    """Return each example's features as one vector of length 1."""
    return F.normalize(torch.flatten(features, 1), dim=-1)
