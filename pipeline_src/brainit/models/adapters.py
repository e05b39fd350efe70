"""Low-rank residual adapters between the blocks of the encoder's frozen backbone.

After every block of the vision transformer a rank-7 linear residual without bias is added, scaled
by alpha / rank = 0.01 / 7 (universal brain encoder, arXiv 2406.12179, released code).

Differs from the paper: it is quoted as placing LoRA on the attention's output projection; the
released code, followed here, adapts the block's output.
"""

from jaxtyping import Float
from torch import Tensor, nn


class LowRankAdapter(nn.Module):
    """Residual `tokens + scale * up(down(tokens))`; `up` starts at zero, so that it does nothing.

    Parameters
    ----------
    width
        Width of the tokens.
    rank
        Rank of the residual.
    alpha
        The residual's scale is alpha / rank.
    """

    def __init__(self, width: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.scale = alpha / rank
        self.down = nn.Linear(width, rank, bias=False)
        self.up = nn.Linear(rank, width, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the adapted tokens."""
        return tokens + self.scale * self.up(self.down(tokens))
