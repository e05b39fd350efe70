"""LoRA and Skip-LoRA of a linear layer, after MindTuner (2404.12630), details from a third party.

    y = x W^T + b + (alpha / r) x A^T B^T + GELU((alpha / r) v S^T T^T)

x is the layer's input and v the subject's raw voxels. W and b are frozen. Ranks, placement and
weights are not established in MindTuner's paper: a row of ours is "LoRA and Skip-LoRA, after
MindTuner".
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

_B_DEVIATION = 0.01
_SKIP_FLOOR = 0.1
"""Share of the layer's size below which a skip's correlation fades."""


class LowRank(nn.Module):
    """The product (alpha / rank) x A^T B^T; A is 0 and B normal with deviation .01 at the start."""

    def __init__(self, n_in: int, n_out: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.scale = alpha / rank
        self.A = nn.Parameter(torch.zeros(rank, n_in))
        self.B = nn.Parameter(torch.randn(n_out, rank) * _B_DEVIATION)

    def forward(self, values: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Return the low-rank change."""
        return self.scale * (values @ self.A.T) @ self.B.T


class LoraLinear(nn.Module):
    """A frozen linear layer with a trained low-rank change."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base
        for parameter in base.parameters():
            parameter.requires_grad_(False)
        self.lora = LowRank(base.in_features, base.out_features, rank, alpha)

    def forward(self, values: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Return the layer's output."""
        out: Tensor = self.base(values) + self.lora(values)
        return out


class SkipLora(nn.Module):
    """GELU of a low-rank map from the raw voxels to the output of a layer."""

    def __init__(self, n_voxels: int, n_out: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.lora = LowRank(n_voxels, n_out, rank, alpha)

    def forward(self, voxels: Float[Tensor, "trials voxels"]) -> Float[Tensor, "trials outputs"]:
        """Return what is added to the layer's output."""
        return F.gelu(self.lora(voxels))


def use_lora(module: nn.Module, rank: int, alpha: float) -> None:
    """Replace each linear layer of a module by a `LoraLinear`."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, LoraLinear(child, rank, alpha))
        else:
            use_lora(child, rank, alpha)


def pearson(
    one: Float[Tensor, "trials features"], other: Float[Tensor, "trials features"]
) -> Float[Tensor, "trials"]:
    """Return the correlation over features of each example; 0 where one is constant."""
    centred = [values - values.mean(-1, keepdim=True) for values in (one, other)]
    return F.cosine_similarity(centred[0], centred[1], dim=-1)


def skip_loss(outputs: list[tuple[Tensor, Tensor]], has_gradient: bool = True) -> Float[Tensor, ""]:
    """Return the mean |correlation| of layers' outputs with their skips, over layers and examples.

    The third party detaches both, so that its term trains nothing: `has_gradient` False. With a
    gradient the correlation is `bounded_pearson`.
    """
    if has_gradient:
        found = [bounded_pearson(layer, skip) for layer, skip in outputs]
    else:
        found = [pearson(layer.detach(), skip.detach()) for layer, skip in outputs]
    return torch.stack([values.abs().mean() for values in found]).mean()


def bounded_pearson(
    layer: Float[Tensor, "trials features"], skip: Float[Tensor, "trials features"]
) -> Float[Tensor, "trials"]:
    """Return the correlation of each example, smaller for skips much smaller than the layer.

    cov(x, s) / (|x| sqrt(|s|^2 + (.1 |x|)^2)), all centred. The gradient of a plain correlation is
    of size 1 / |s|. Skips are 0 at the start, so its first steps would fill AdamW's second moment
    and hold the skips off; here it is at most 10 / |x|.
    """
    x, s = (values - values.mean(-1, keepdim=True) for values in (layer.float(), skip.float()))
    norm = x.norm(dim=-1).clamp(min=torch.finfo(x.dtype).tiny)
    floor = _SKIP_FLOOR * norm.detach()
    return (x * s).sum(-1) / (norm * (s.square().sum(-1) + floor.square()).sqrt())
