"""The Cross-Transformer: query tokens read the brain tokens (section 4, after CrossMAE).

First a cross-attention block, then pairs of a self-attention block on the brain tokens and a
cross-attention block on the queries. Cross-attention takes the queries raw, without norm or
projection, as the released code does. No dropout.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

MLP_RATIO = 4


class Mlp(nn.Module):
    """Two linear layers with GELU between, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, MLP_RATIO * width)
        self.fc2 = nn.Linear(MLP_RATIO * width, width)

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Return the transformed tokens."""
        return self.fc2(nn.functional.gelu(self.fc1(x)))


def _split_heads(x: Tensor, n_heads: int) -> Tensor:
    """Return (batch, heads, tokens, width / heads)."""
    return x.reshape(*x.shape[:-1], n_heads, -1).transpose(-3, -2)


class SelfBlock(nn.Module):
    """Pre-norm self-attention of the brain tokens, then a pre-norm MLP, both residual."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width)

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the updated brain tokens."""
        query, key, value = (
            _split_heads(part, self.n_heads) for part in self.qkv(self.norm1(tokens)).chunk(3, -1)
        )
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.proj(mixed.transpose(1, 2).flatten(2))
        return tokens + self.mlp(self.norm2(tokens))


class CrossBlock(nn.Module):
    """Cross-attention of raw queries to the normed brain tokens.

    y = projection(attention); y <- y + MLP(LayerNorm(y)); query <- query + y.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm1 = nn.LayerNorm(width)
        self.kv = nn.Linear(width, 2 * width, bias=False)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width)

    def forward(
        self,
        queries: Float[Tensor, "batch queries width"],
        tokens: Float[Tensor, "batch tokens width"],
    ) -> Float[Tensor, "batch queries width"]:
        """Return the updated queries."""
        key, value = (
            _split_heads(part, self.n_heads) for part in self.kv(self.norm1(tokens)).chunk(2, -1)
        )
        query = _split_heads(queries, self.n_heads)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        y = self.proj(mixed.transpose(1, 2).flatten(2))
        y = y + self.mlp(self.norm2(y))
        return queries + y

    def attention(
        self,
        queries: Float[Tensor, "batch queries width"],
        tokens: Float[Tensor, "batch tokens width"],
    ) -> Float[Tensor, "batch heads queries tokens"]:
        """Return the weights with which each query reads the tokens; they sum to 1 over tokens."""
        key = _split_heads(self.kv(self.norm1(tokens)).chunk(2, -1)[0], self.n_heads)
        query = _split_heads(queries, self.n_heads)
        return torch.softmax(query @ key.transpose(-2, -1) * key.shape[-1] ** -0.5, dim=-1)


class CrossTransformer(nn.Module):
    """A cross block, then `n_blocks` pairs of a self block and a cross block (paper: 5)."""

    def __init__(self, width: int, n_heads: int, n_blocks: int) -> None:
        super().__init__()
        self.self_blocks = nn.ModuleList(SelfBlock(width, n_heads) for _ in range(n_blocks))
        self.cross_blocks = nn.ModuleList(CrossBlock(width, n_heads) for _ in range(n_blocks + 1))

    def forward(
        self,
        queries: Float[Tensor, "batch queries width"],
        tokens: Float[Tensor, "batch tokens width"],
    ) -> Float[Tensor, "batch queries width"]:
        """Return the queries after their cross-attention."""
        queries = self.cross_blocks[0](queries, tokens)
        for self_block, cross_block in zip(self.self_blocks, self.cross_blocks[1:], strict=True):
            tokens = self_block(tokens)
            queries = cross_block(queries, tokens)
        return queries

    def attention(
        self,
        queries: Float[Tensor, "batch queries width"],
        tokens: Float[Tensor, "batch tokens width"],
    ) -> Float[Tensor, "blocks batch heads queries tokens"]:
        """Return the cross-attention weights of every cross block."""
        weights = []
        for number, cross_block in enumerate(self.cross_blocks):
            if number:
                tokens = self.self_blocks[number - 1](tokens)
            weights.append(cross_block.attention(queries, tokens))  # type: ignore[operator]
            queries = cross_block(queries, tokens)
        return torch.stack(weights)
