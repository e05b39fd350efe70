"""The losses of MindEye2 and of its fine-tuning by adapters, on batches.

30 prior + contrastive; the latter is BiMixCo in the first 49 of 150 epochs, then SoftCLIP. Mixed
responses meet the unmixed tokens in the prior's loss, as released.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from brainit.core.settings import LoraSkipSettings, Mindeye2Settings
from brainit.models.brain_decoder import SubjectBatch
from brainit.models.peers.adapters import skip_loss
from brainit.models.peers.lora_skip import LoraSkip
from brainit.models.peers.mindbridge_network import normalised
from brainit.models.peers.mindeye2 import Mindeye2
from brainit.models.peers.prior_diffusion import PriorDraws, prior_loss
from brainit.training.examples import DrawnExamples
from brainit.training.loop import half_on_gpu
from brainit.training.peers.losses import (
    MIXCO_TEMPERATURE,
    Mixing,
    draw_mixing,
    joined,
    mixco_nce,
    mixing_targets,
    soft_clip,
    soft_temperature,
)
from brainit.training.peers.task import PeerBatch, PeerTask


@dataclass(frozen=True)
class LossDraws:
    """How each subject's examples are mixed (None: they are not), and the prior's draws."""

    mixings: list[Mixing] | None
    prior: PriorDraws


@dataclass
class Mindeye2Task(PeerTask):
    """MindEye2's training; `settings` are its own, `adapters` those of its fine-tuning."""

    settings: Mindeye2Settings | None = None
    adapters: LoraSkipSettings | None = None

    def draw_for_loss(self, examples: DrawnExamples, draws: torch.Generator) -> LossDraws:
        """Draw partners and shares of each subject's examples, noise and times of the prior."""
        counts = np.unique(examples.rows[:, 0], return_counts=True)[1].tolist()
        mixings = [draw_mixing(n, draws) for n in counts] if self._is_mixed(self.epoch) else None
        shape = (len(examples), *self.targets.token_shape)
        return LossDraws(mixings, PriorDraws.of(shape, draws))

    def loss(self, batch: PeerBatch) -> Tensor:
        """Return the loss of one batch; in validation nothing is mixed, at a fixed temperature."""
        network, settings = self.model, self.settings
        assert isinstance(network, Mindeye2) and settings is not None
        drawn: LossDraws = batch.of_loss
        is_mixed = batch.epoch is not None and drawn.mixings is not None
        groups = batch.examples.groups_on(self.device)
        if is_mixed:
            groups = _mixed(groups, drawn.mixings or [])
        true = self.targets.of(batch.examples, self.device, batch.rows)
        with half_on_gpu(self.device):
            skips: list[tuple[Tensor, Tensor]] = []
            if isinstance(network, LoraSkip):
                tokens, skips = network.layers_and_skips(groups)
                features = network.backbone.clip_proj(tokens)
            else:
                tokens, features = network.features(groups)
            prior = prior_loss(network.prior, true, tokens, drawn.prior.to(self.device))
        total = settings.prior_weight * prior.float()
        unit = normalised(features.float()), normalised(true)
        if is_mixed:
            mixing = joined(drawn.mixings or [], settings.across_subjects)
            shares = mixing_targets(mixing, settings.self_partners).to(self.device)
            total = total + mixco_nce(*unit, MIXCO_TEMPERATURE, shares)
        else:
            total = total + soft_clip(*unit, self.temperature(batch.epoch))
        if skips and self.adapters is not None:
            has_gradient = self.adapters.skip_gradient == "corrected"
            total = total + self.adapters.skip_weight * skip_loss(skips, has_gradient)
        return total

    def _n_mixed(self) -> int:
        assert self.settings is not None
        return int(self.settings.mixed_share * self.n_epochs)

    def _is_mixed(self, epoch: int) -> bool:
        return epoch < self._n_mixed()

    def temperature(self, epoch: int | None) -> float:
        """Return SoftCLIP's temperature in an epoch (from 0), or in validation (None)."""
        if epoch is None:
            return MIXCO_TEMPERATURE
        n_mixed = self._n_mixed()
        return soft_temperature(epoch - n_mixed, self.n_epochs - n_mixed)


def _mixed(groups: list[SubjectBatch], mixings: list[Mixing]) -> list[SubjectBatch]:
    """Return the groups with mixed responses."""
    pairs = zip(groups, mixings, strict=True)
    return [SubjectBatch(_on(mixing, g.betas).mixed(g.betas), g.voxels) for g, mixing in pairs]


def _on(mixing: Mixing, like: Tensor) -> Mixing:
    return Mixing(mixing.partner.to(like.device), mixing.share.to(like.device))


def copied(network: Mindeye2, base: Mindeye2, has_first_bias: bool) -> None:
    """Give a new subject's network the base's shared weights; its own layer stays fresh.

    `has_first_bias` gives that layer the bias of the base's first subject, as released.
    """
    network.backbone.load_state_dict(base.backbone.state_dict())
    network.prior.load_state_dict(base.prior.state_dict())
    if has_first_bias:
        with torch.no_grad():
            first, own = (n.ridge.linears[0].bias for n in (base, network))
            assert isinstance(first, Tensor) and isinstance(own, Tensor)
            own.copy_(first)
