"""The network of MindEye2's diffusion prior: clean image tokens from noisy ones and brain tokens.

As in DALL-E 2's prior (the released code uses dalle2-pytorch 1.15.6, whose names are kept): the
sequence holds brain tokens, a token of the time, and the noisy image tokens with learned positions;
the last outputs are the prediction. Attention has one key and value for all heads, a learned null
key, rotary positions, and cosine similarities times 16.

The relative position bias is made for causal attention, though nothing here is causal: all keys to
the right of a query share the bucket 0, and the null key shifts positions by one.
"""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

_LOGIT_SCALE = 16.0
_N_BUCKETS, _MAX_DISTANCE = 32, 128
_MOST_ROTATED = 32
_EPSILON = 1.0e-5


class GainNorm(nn.Module):
    """Layer norm with a gain and no bias; `is_stable` divides by the largest value first."""

    def __init__(self, width: int, is_stable: bool = False) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(width))
        self.is_stable = is_stable

    def forward(self, tokens: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Return normalised tokens."""
        if self.is_stable:
            tokens = tokens / tokens.amax(dim=-1, keepdim=True).detach()
        return F.layer_norm(tokens, self.g.shape, self.g, eps=_EPSILON)


class PriorAttention(nn.Module):
    """Attention of several query heads to one shared key and value."""

    def __init__(self, width: int, n_heads: int, head_width: int) -> None:
        super().__init__()
        self.n_heads, self.head_width = n_heads, head_width
        self.norm = GainNorm(width)
        self.null_kv = nn.Parameter(torch.randn(2, head_width))
        self.to_q = nn.Linear(width, n_heads * head_width, bias=False)
        self.to_kv = nn.Linear(width, 2 * head_width, bias=False)
        self.to_out = nn.Sequential(
            nn.Linear(n_heads * head_width, width, bias=False), GainNorm(width)
        )

    def forward(
        self, tokens: Float[Tensor, "batch n width"], bias: Float[Tensor, "heads n keys"]
    ) -> Float[Tensor, "batch n width"]:
        """Return the attended tokens; the keys are the null key and the tokens."""
        tokens = self.norm(tokens)
        query = self.to_q(tokens).unflatten(-1, (self.n_heads, self.head_width)).transpose(1, 2)
        key, value = self.to_kv(tokens).chunk(2, dim=-1)
        query, key = rotated(query), rotated(key)
        null = self.null_kv[:, None, None].expand(-1, len(tokens), 1, -1)
        key, value = torch.cat([null[0], key], dim=1), torch.cat([null[1], value], dim=1)
        query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
        logits = _LOGIT_SCALE * query @ key[:, None].mT + bias
        attended = (logits.float().softmax(-1).to(value.dtype) @ value[:, None]).transpose(1, 2)
        out: Tensor = self.to_out(attended.flatten(2))
        return out


class PriorTransformer(nn.Module):
    """Residual blocks of attention and gated feed-forward layers, which share a position bias."""

    def __init__(self, width: int, depth: int, n_heads: int, head_width: int) -> None:
        super().__init__()
        self.rel_pos_bias = nn.Module()
        self.rel_pos_bias.relative_attention_bias = nn.Embedding(_N_BUCKETS, n_heads)
        self.layers = nn.ModuleList(
            nn.ModuleList([PriorAttention(width, n_heads, head_width), _feed_forward(width)])
            for _ in range(depth)
        )
        self.norm = GainNorm(width, is_stable=True)
        self.project_out = nn.Linear(width, width, bias=False)

    def forward(self, tokens: Float[Tensor, "batch n width"]) -> Float[Tensor, "batch n width"]:
        """Return the sequence after all blocks."""
        n_tokens = tokens.shape[1]
        table: Any = self.rel_pos_bias.relative_attention_bias
        bias = table(position_buckets(n_tokens).to(tokens.device)).permute(2, 0, 1)
        layers: Any = self.layers
        for attention, feed_forward in layers:
            tokens = tokens + attention(tokens, bias)
            tokens = tokens + feed_forward(tokens)
        out: Tensor = self.project_out(self.norm(tokens))
        return out


class PriorNetwork(nn.Module):
    """Predict clean image tokens from noisy ones, the time step and brain tokens."""

    def __init__(
        self, *, n_tokens: int, width: int, depth: int, n_heads: int, head_width: int
    ) -> None:
        super().__init__()
        self.n_tokens, self.width = n_tokens, width
        self.learned_query = nn.Parameter(torch.randn(n_tokens, width) * width**-0.5)
        self.null_brain_embeds = nn.Parameter(torch.randn(n_tokens, width))
        self.null_image_embed = nn.Parameter(torch.randn(n_tokens, width))
        self.to_time_embeds = nn.Sequential(nn.Sequential(_Sinusoids(width), _TimeMlp(width)))
        self.causal_transformer = PriorTransformer(width, depth, n_heads, head_width)

    def forward(
        self,
        noisy: Float[Tensor, "batch tokens width"],
        times: Int[Tensor, "batch"],
        brain: Float[Tensor, "batch tokens width"],
        keeps_brain: Bool[Tensor, "batch"] | None = None,
        keeps_image: Bool[Tensor, "batch"] | None = None,
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the predicted clean tokens.

        Examples that do not keep their brain or image tokens get learned null tokens; None keeps
        all.
        """
        brain = _kept(brain, keeps_brain, self.null_brain_embeds)
        noisy = _kept(noisy, keeps_image, self.null_image_embed)
        time = self.to_time_embeds(times.to(noisy.dtype))[:, None]
        tokens = torch.cat([brain, time, noisy + self.learned_query], dim=1)
        out: Tensor = self.causal_transformer(tokens)[:, -self.n_tokens :]
        return out

    def guided(
        self,
        noisy: Float[Tensor, "batch tokens width"],
        times: Int[Tensor, "batch"],
        brain: Float[Tensor, "batch tokens width"],
        scale: float,
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the prediction under guidance: null + scale (given - null); 1 has no guidance.

        The null prediction sees neither brain nor image tokens, as released.
        """
        given: Tensor = self(noisy, times, brain)
        if scale == 1.0:
            return given
        nothing = torch.zeros(len(noisy), dtype=torch.bool, device=noisy.device)
        null: Tensor = self(noisy, times, brain, nothing, nothing)
        return null + scale * (given - null)


class _Sinusoids(nn.Module):
    """Sine and cosine of a time at geometrically spaced frequencies."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, times: Float[Tensor, "batch"]) -> Float[Tensor, "batch width"]:
        """Return the features of each time."""
        half = self.width // 2
        number = torch.arange(half, device=times.device, dtype=times.dtype)
        angles = times[:, None] * torch.exp(number * (-math.log(10000.0) / (half - 1)))
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class _TimeMlp(nn.Module):
    """Two hidden layers of twice the width, with SiLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = 2 * width
        self.net = nn.Sequential(
            nn.Sequential(nn.Linear(width, hidden), nn.SiLU()),
            nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU()),
            nn.Linear(hidden, width),
        )

    def forward(self, features: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        """Return the embedding of each time."""
        out: Tensor = self.net(features)
        return out


class _Gated(nn.Module):
    """Values times SiLU of gates."""

    def forward(self, tokens: Float[Tensor, "*batch twice"]) -> Float[Tensor, "*batch hidden"]:
        """Return the gated half of the channels."""
        value, gate = tokens.chunk(2, dim=-1)
        return value * F.silu(gate)


def _feed_forward(width: int) -> nn.Sequential:
    """Return norm, linear to twice four widths, gate and linear, at the released indices."""
    inner = 4 * width
    first, last = nn.Linear(width, 2 * inner, bias=False), nn.Linear(inner, width, bias=False)
    return nn.Sequential(GainNorm(width), first, _Gated(), nn.Identity(), nn.Identity(), last)


def rotated(vectors: Float[Tensor, "*batch n width"]) -> Float[Tensor, "*batch n width"]:
    """Rotate pairs of the first 32 channels by angles that grow with the position (RoPE)."""
    n_positions, n_rotated = vectors.shape[-2], min(_MOST_ROTATED, vectors.shape[-1])
    options: dict[str, Any] = {"device": vectors.device, "dtype": torch.float32}
    steps = torch.arange(0, n_rotated, 2, **options) / n_rotated
    angles = torch.arange(n_positions, **options)[:, None] / 10000.0**steps
    cos, sin = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
    first, second = vectors[..., :n_rotated:2], vectors[..., 1:n_rotated:2]
    pairs = torch.stack([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return torch.cat([pairs.flatten(-2), vectors[..., n_rotated:]], dim=-1)


def position_buckets(n_tokens: int) -> Int[Tensor, "n keys"]:
    """Return T5's causal bucket of each query and key, the null key first.

    Distances to the left up to 15 have their own bucket, larger ones share logarithmic ones; all to
    the right have bucket 0.
    """
    exact = _N_BUCKETS // 2
    distance = torch.arange(n_tokens)[:, None] - torch.arange(n_tokens + 1)
    distance = distance.clamp(min=0)
    growth = torch.log(distance.clamp(min=1).float() / exact) / math.log(_MAX_DISTANCE / exact)
    large = (exact + (growth * (_N_BUCKETS - exact)).long()).clamp(max=_N_BUCKETS - 1)
    return torch.where(distance < exact, distance, large)


def _kept(tokens: Tensor, keeps: Tensor | None, null: Tensor) -> Tensor:
    """Return tokens, those of examples that are not kept replaced by `null`."""
    return tokens if keeps is None else torch.where(keeps[:, None, None], tokens, null)
