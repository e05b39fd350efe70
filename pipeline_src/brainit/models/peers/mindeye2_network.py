"""The networks of MindEye2 (Scotti et al. 2024, arXiv 2403.11207), with the released names.

A linear layer of each subject maps its voxels to a latent that all share; a backbone maps it to the
image's tokens, and a projector to features that retrieve images.

The released backbone is linear: its token mixer normalises an axis of length 1, which leaves the
bias alone, and its residual stream never contains the channel mixer. `residual: released` keeps
that; `drawn` is the paper's figure, four residual MLP blocks.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

N_BLOCKS = 4
_MIXER_DROPOUT = 0.15
Residual = Literal["released", "drawn"]


class SubjectLayers(nn.Module):
    """A linear layer for each subject, voxels to the shared latent."""

    def __init__(self, n_voxels: list[int], width: int) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(n, width) for n in n_voxels)

    def forward(
        self, betas: Float[Tensor, "trials voxels"], subject: int
    ) -> Float[Tensor, "trials width"]:
        """Return the latent of responses of the subject with this number."""
        latent: Tensor = self.linears[subject](betas)
        return latent


class Backbone(nn.Module):
    """Map the latent to tokens, `n_tokens` of `token_width`.

    `mixer_blocks1` mix channels, `mixer_blocks2` the one position (only `released` has them).
    """

    def __init__(self, width: int, n_tokens: int, token_width: int, residual: Residual) -> None:
        super().__init__()
        self.n_tokens, self.residual = n_tokens, residual
        self.mixer_blocks1 = nn.ModuleList(_mixer(width) for _ in range(N_BLOCKS))
        n_positions = N_BLOCKS if residual == "released" else 0
        self.mixer_blocks2 = nn.ModuleList(_mixer(1) for _ in range(n_positions))
        self.backbone_linear = nn.Linear(width, n_tokens * token_width)
        self.clip_proj = token_projector(token_width)

    def mixed(self, latent: Float[Tensor, "trials width"]) -> Float[Tensor, "trials width"]:
        """Return the latent after all blocks.

        Released, with f the channel mixer, g the position mixer and x, r, s the input at first:

            r <- f(x) + r,    x <- s <- g(r) + s

        Drawn: x <- x + f(x).
        """
        for number in range(N_BLOCKS):
            if number == 0:
                mixed = channels = positions = latent
            change = self.mixer_blocks1[number](mixed)
            if self.residual == "drawn":
                mixed = mixed + change
                continue
            channels = change + channels
            positions = self.mixer_blocks2[number](channels[..., None])[..., 0] + positions
            mixed = positions
        return mixed

    def tokens(self, mixed: Float[Tensor, "trials width"]) -> Float[Tensor, "trials tokens out"]:
        """Return the backbone's tokens of a mixed latent."""
        flat: Tensor = self.backbone_linear(mixed)
        return flat.reshape(len(flat), self.n_tokens, -1)

    def forward(
        self, latent: Float[Tensor, "trials width"]
    ) -> tuple[Float[Tensor, "trials tokens out"], Float[Tensor, "trials tokens out"]]:
        """Return the backbone's tokens and the projector's retrieval features."""
        tokens = self.tokens(self.mixed(latent))
        return tokens, self.clip_proj(tokens)


def _mixer(width: int) -> nn.Sequential:
    """Return layer norm, linear, GELU, dropout, linear: all of one width."""
    inner = (nn.Linear(width, width), nn.GELU(), nn.Dropout(_MIXER_DROPOUT))
    return nn.Sequential(nn.LayerNorm(width), nn.Sequential(*inner, nn.Linear(width, width)))


def token_projector(width: int) -> nn.Sequential:
    """Return three times layer norm, GELU, linear, on each token alone."""
    layers = [(nn.LayerNorm(width), nn.GELU(), nn.Linear(width, width)) for _ in range(3)]
    return nn.Sequential(*(part for layer in layers for part in layer))


def mixer_constants(backbone: Backbone) -> Float[Tensor, "blocks"]:
    """Return what each released block adds to every channel, whatever the input."""
    with torch.no_grad():
        any_input = torch.zeros(1, 1)
        return torch.stack([block(any_input)[0, 0] for block in backbone.mixer_blocks2])
