"""Losses of the peers: MindEye2's MixCo, SoftCLIP and low-level contrast, and those of MindBridge.

Errors of the released code are switches, with the corrected form as default.

- `self_partners`: MixCo's targets write the share on the diagonal, then 1 - share at the partner,
  so that an example which is its own partner loses its target (`released`); `corrected` adds both.
- `across_subjects`: the permutations of several subjects are joined without their offsets, so that
  targets of later subjects point into the first one's examples (`released`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

Form = Literal["corrected", "released"]
MIXCO_TEMPERATURE = 0.006
_MIXCO_BETA, _MIXED_SHARE = 0.15, 0.5
_SOFT_FROM, _SOFT_TO, _N_SOFT = 0.004, 0.0075, 101


@dataclass(frozen=True)
class Mixing:
    """How examples are mixed: example i is `share` of itself, the rest of its `partner`."""

    partner: Int[Tensor, "batch"]
    share: Float[Tensor, "batch"]

    def mixed(self, betas: Float[Tensor, "batch voxels"]) -> Float[Tensor, "batch voxels"]:
        """Return the mixed responses; partners must be of the same subject."""
        share = self.share[:, None]
        return betas * share + betas[self.partner] * (1 - share)


def draw_mixing(n_examples: int, generator: torch.Generator) -> Mixing:
    """Draw partners by a permutation and shares from Beta(.15, .15); half stay unmixed."""
    partner = torch.randperm(n_examples, generator=generator)
    # Beta(a, a) as G / (G + H) of two gamma draws, by the generator of the epoch.
    gammas = torch._standard_gamma(torch.full((2, n_examples), _MIXCO_BETA), generator=generator)
    share = (gammas[0] / gammas.sum(0)).nan_to_num(0.5)
    is_mixed = torch.rand(n_examples, generator=generator) <= _MIXED_SHARE
    return Mixing(partner, torch.where(is_mixed, share, 1.0))


def joined(mixings: Sequence[Mixing], across_subjects: Form = "corrected") -> Mixing:
    """Return the mixing of several subjects' examples, one subject after the other."""
    partners, start = [], 0
    for mixing in mixings:
        partners.append(mixing.partner + (start if across_subjects == "corrected" else 0))
        start += len(mixing.partner)
    return Mixing(torch.cat(partners), torch.cat([mixing.share for mixing in mixings]))


def mixing_targets(
    mixing: Mixing, self_partners: Form = "corrected"
) -> Float[Tensor, "batch batch"]:
    """Return each example's share of every target; rows sum to 1 unless `released`."""
    rows, own = torch.arange(len(mixing.share)), torch.diag(mixing.share)
    rest = 1 - mixing.share
    if self_partners == "released":
        own[rows, mixing.partner] = rest
        return own
    return own.index_put((rows, mixing.partner), rest, accumulate=True)


def mixco_nce(
    predicted: Float[Tensor, "batch features"],
    target: Float[Tensor, "batch features"],
    temperature: float,
    targets: Float[Tensor, "batch batch"] | None = None,
    is_bidirectional: bool = True,
) -> Float[Tensor, ""]:
    """Return BiMixCo: cross-entropy of similarities with the shares `targets`; None: unmixed.

    Features have length 1. Both directions are averaged; one way is brain to image.
    """
    logits = predicted @ target.T / temperature
    shares = torch.eye(len(logits), device=logits.device) if targets is None else targets
    forward = _cross_entropy(logits, shares)
    if not is_bidirectional:
        return forward
    return 0.5 * (forward + _cross_entropy(logits.T, shares.T))


def soft_clip(
    predicted: Float[Tensor, "batch features"],
    target: Float[Tensor, "batch features"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Return SoftCLIP: cross-entropy with the softmax of the targets' own similarities.

    Both directions use the same targets, as released. Features have length 1.
    """
    logits = predicted @ target.T / temperature
    shares = (target @ target.T / temperature).softmax(-1)
    return 0.5 * (_cross_entropy(logits, shares) + _cross_entropy(logits.T, shares))


def soft_temperature(epoch: int, n_epochs: int) -> float:
    """Return SoftCLIP's temperature at an epoch (from 0) of its part of the training.

    The released 101 epochs go from .004 to .0075 along half a cosine; other lengths likewise.
    """
    share = epoch / max(1, n_epochs - 1)
    return _SOFT_TO + (_SOFT_FROM - _SOFT_TO) / 2 * (1 + math.cos(math.pi * share))


@dataclass(frozen=True)
class BridgeTerms:
    """What a step of MindBridge compares; features have length 1.

    `features` are predicted and true ones of each head, `responses` pooled and rebuilt, `cycle`
    embedded before and after a detour through another subject (None: without).
    """

    features: Mapping[str, tuple[Tensor, Tensor]]
    responses: tuple[Tensor, Tensor]
    cycle: tuple[Tensor, Tensor] | None = None


def bridge_loss(
    terms: BridgeTerms, temperature: float = 0.005, mse_weight: float = 1.0e4
) -> dict[str, Tensor]:
    """Return MindBridge's terms, and their sum as `total`.

    SoftCLIP and `mse_weight` times the squared error of each head, the error of the rebuilt
    responses, and that of the cycle.
    """
    parts: dict[str, Tensor] = {}
    total = parts["reconstruction"] = F.mse_loss(terms.responses[1], terms.responses[0])
    if terms.cycle is not None:
        parts["cycle"] = F.mse_loss(terms.cycle[1], terms.cycle[0])
        total = total + parts["cycle"]
    for name, (predicted, true) in terms.features.items():
        parts[f"soft_clip_{name}"] = soft_clip(predicted, true, temperature)
        parts[f"mse_{name}"] = F.mse_loss(predicted, true)
        total = total + parts[f"soft_clip_{name}"] + mse_weight * parts[f"mse_{name}"]
    return {**parts, "total": total}


def _cross_entropy(
    logits: Float[Tensor, "rows columns"], shares: Float[Tensor, "rows columns"]
) -> Float[Tensor, ""]:
    return -(logits.log_softmax(-1) * shares).sum(-1).mean()
