"""Architectures and training of the demo's networks (by `make backbones`, not by the demo itself).

Each function trains one network for a fixed number of steps on a `SceneSet` and returns it with its
training curve. Objectives differ on purpose: content maps and colours for the VGG, contrastive loss
with captions for OpenCLIP, masked patches for the encoder's backbone, scene contents for the metric
network.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from brainit.core.seeds import seeded_init, torch_generator
from brainit.demo.scenes import (
    CAPTION_LENGTH,
    VOCABULARY_SIZE,
    SceneSet,
    as_images,
    random_batches,
)
from brainit.features.encoder_backbone import EncoderBackbone
from brainit.features.residual_classifier import MetricNetwork
from brainit.features.semantic_tokens import SemanticTokens, build_clip
from brainit.features.vgg import VggFeatures
from brainit.simulation.scenes import CONTENTS, PLACES

logger = logging.getLogger(__name__)

_STEPS_BETWEEN_ROWS = 50

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "demo_vgg_bn": {"kind": "vgg", "channels": [8, 16, 32, 64, 64], "image_size": 32},
    "demo_openclip": {
        "kind": "semantic_tokens",
        "embed_dim": 64,
        "vision_cfg": {
            "image_size": 64,
            "patch_size": 8,
            "width": 96,
            "layers": 4,
            "head_width": 24,
            "output_tokens": True,
        },
        "text_cfg": {
            "context_length": CAPTION_LENGTH,
            "vocab_size": VOCABULARY_SIZE,
            "width": 64,
            "heads": 4,
            "layers": 2,
        },
    },
    "demo_vit": {
        "kind": "encoder_backbone",
        "image_size": 64,
        "patch": 8,
        "width": 96,
        "n_blocks": 5,
        "n_heads": 4,
        "n_registers": 4,
        "layers": [1, 2, 3, 4, 5],
    },
    "demo_resnet": {
        "kind": "metric",
        "widths": [16, 24, 48, 96],
        "n_outputs": len(CONTENTS) + len(PLACES),
        "image_size": 64,
    },
}


@dataclass(frozen=True)
class Recipe:
    """Number of steps, batch size, peak learning rate and seed of a training."""

    steps: int
    batch: int
    lr: float
    seed: int


Curve = list[dict[str, float]]
Loss = Callable[[Tensor], Tensor]


def build(name: str, seed: int) -> nn.Module:
    """Return the untrained network `name`, initialised from `seed`."""
    architecture = {k: v for k, v in ARCHITECTURES[name].items() if k != "kind"}
    with seeded_init(seed, name):
        if name == "demo_vgg_bn":
            return VggFeatures(**architecture)
        if name == "demo_openclip":
            return SemanticTokens(build_clip(architecture))
        if name == "demo_vit":
            return EncoderBackbone(**architecture)
        return MetricNetwork(**{**architecture, "widths": tuple(architecture["widths"])})


def optimise(
    parameters: list[nn.Parameter], loss_of: Loss, recipe: Recipe, n_examples: int, name: str
) -> Curve:
    """Run AdamW with a short warm-up and a cosine decay; return the curve of the mean loss."""
    optimiser = torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.lr, total_steps=recipe.steps, pct_start=0.08
    )
    generator = torch_generator(recipe.seed, name, "batches")
    batches = random_batches(n_examples, recipe.batch, recipe.steps, generator)
    curve: Curve = []
    losses: list[float] = []
    started = time.monotonic()
    for step, index in enumerate(batches, start=1):
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(index)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if step % _STEPS_BETWEEN_ROWS == 0 or step == recipe.steps:
            mean = sum(losses) / len(losses)
            curve.append({"step": step, "loss": mean})
            rate = step / (time.monotonic() - started)
            left_s = (recipe.steps - step) / rate
            logger.info("%s: step %d loss %.4f, %.0f s left", name, step, mean, left_s)
            losses = []
    return curve


def train_vgg(scenes: SceneSet, recipe: Recipe) -> tuple[nn.Module, Curve]:
    """Train the VGG to predict content and colour at each position from each of its taps.

    Heads (1x1 convolutions on the five taps, upsampled to 16 px) predict the content map by
    cross-entropy and the 16 px thumbnail by L2, so that each tap keeps both; they are dropped
    afterwards. A second copy of the batch, with foreign colours and textures, trains only the
    thumbnails: otherwise images unlike any scene share the features of a scene, and inverting
    features finds those images (a published VGG has seen a million photographs).
    """
    network = build("demo_vgg_bn", recipe.seed)
    assert isinstance(network, VggFeatures)
    n_labels = len(CONTENTS) + 1
    with seeded_init(recipe.seed, "vgg_heads"):
        heads = nn.ModuleList(nn.Conv2d(c, n_labels + 3, 1) for c in network.channels)
    draws = torch_generator(recipe.seed, "demo_vgg_bn", "foreign")

    def loss_of(index: Tensor) -> Tensor:
        images = as_images(scenes.images[index.numpy()])
        labels = torch.from_numpy(scenes.maps[index.numpy()]).long()
        thumbnails = F.interpolate(images, (16, 16), mode="area")
        total = torch.zeros(())
        foreign = foreign_images(images, draws)
        both = torch.cat([thumbnails, F.interpolate(foreign, (16, 16), mode="area")])
        for head, features in zip(heads, network(torch.cat([images, foreign])), strict=True):
            x = F.interpolate(head(features), (16, 16), mode="bilinear", align_corners=False)
            total = total + F.cross_entropy(x[: len(images), :n_labels], labels)
            total = total + 10 * F.mse_loss(x[:, n_labels:], both)
        return total / len(heads)

    parameters = [*network.parameters(), *heads.parameters()]
    network.train()
    return network, optimise(parameters, loss_of, recipe, len(scenes), "demo_vgg_bn")


def foreign_images(
    images: Float[Tensor, "batch 3 height width"], draws: torch.Generator
) -> Float[Tensor, "batch 3 height width"]:
    """Return the images with randomly mixed colours, blended with noise of many scales.

    Mixing is affine in RGB, one matrix per image. The noise is a sum of Gaussian fields on grids of
    2 to 32 px; its weight is uniform in [0, 1] per image. Values stay in [0, 1].
    """
    n, _, height, width = images.shape
    mixing = torch.eye(3) + 0.6 * torch.randn(n, 3, 3, generator=draws)
    mixed = torch.einsum("nij,njhw->nihw", mixing, images - 0.5)
    noise = torch.zeros_like(images)
    for side in (2, 4, 8, 16, 32):
        field = torch.randn(n, 3, side, side, generator=draws)
        gain = torch.rand(n, 1, 1, 1, generator=draws)
        noise += 0.3 * gain * F.interpolate(field, (height, width), mode="bilinear")
    weight = torch.rand(n, 1, 1, 1, generator=draws)
    return (0.5 + (1 - weight) * mixed + weight * noise).clamp(0, 1)


def train_openclip(scenes: SceneSet, recipe: Recipe) -> tuple[nn.Module, Curve]:
    """Train the CLIP towers with open_clip's contrastive loss on images and captions."""
    from open_clip.loss import ClipLoss

    network = build("demo_openclip", recipe.seed)
    assert isinstance(network, SemanticTokens)
    clip: Any = network.clip
    contrast = ClipLoss()
    captions = torch.from_numpy(scenes.captions)

    def loss_of(index: Tensor) -> Tensor:
        images = network.prepare(as_images(scenes.images[index.numpy()]))
        image_features = F.normalize(clip.visual(images)[0], dim=-1)  # (pooled, tokens)
        text_features = clip.encode_text(captions[index], normalize=True)
        return contrast(image_features, text_features, clip.logit_scale.exp().clamp(max=100.0))

    network.train()
    return network, optimise(
        list(network.parameters()), loss_of, recipe, len(scenes), "demo_openclip"
    )


def train_vit(scenes: SceneSet, recipe: Recipe) -> tuple[nn.Module, Curve]:
    """Train the transformer to fill in masked patches and to predict the content of each patch.

    Half of the patches are replaced by a learned mask; a linear head predicts the pixels of every
    patch (L2) and another the content map at the patches (cross-entropy).
    """
    network = build("demo_vit", recipe.seed)
    assert isinstance(network, EncoderBackbone)
    n_labels, patch = len(CONTENTS) + 1, network.patch
    with seeded_init(recipe.seed, "vit_heads"):
        pixels = nn.Linear(network.width, 3 * patch * patch)
        labels_head = nn.Linear(network.width, n_labels * 4)
        norm = nn.LayerNorm(network.width)
        mask = nn.Parameter(torch.zeros(network.width))
    masks = torch_generator(recipe.seed, "vit_masks")
    first_patch = 1 + network.n_registers

    def loss_of(index: Tensor) -> Tensor:
        images = as_images(scenes.images[index.numpy()])
        tokens = network.embed(images)
        hidden = torch.rand(len(index), network.n_tokens - 1, 1, generator=masks) < 0.4
        patches = torch.where(hidden, mask + network.position[:, 1:], tokens[:, first_patch:])
        tokens = torch.cat([tokens[:, :first_patch], patches], dim=1)
        for block in network.blocks:
            tokens = block(tokens)
        x = norm(tokens[:, first_patch:])
        truth = F.unfold(images, patch, stride=patch).transpose(1, 2)
        labels = torch.from_numpy(scenes.maps[index.numpy()]).float()[:, None]
        labels = F.unfold(labels, 2, stride=2).transpose(1, 2).long()  # 2 x 2 labels per patch
        named = labels_head(x).view(*labels.shape, n_labels).permute(0, 3, 1, 2)
        return 5 * F.mse_loss(pixels(x), truth) + F.cross_entropy(named, labels)

    heads = [*pixels.parameters(), *labels_head.parameters(), *norm.parameters(), mask]
    network.train()
    parameters = [*network.parameters(), *heads]
    return network, optimise(parameters, loss_of, recipe, len(scenes), "demo_vit")


def train_resnet(scenes: SceneSet, recipe: Recipe) -> tuple[nn.Module, Curve]:
    """Train the metric network to predict which contents and which place a scene shows."""
    network = build("demo_resnet", recipe.seed)
    assert isinstance(network, MetricNetwork)
    present = torch.from_numpy(scenes.contents > 0).float()
    labels = torch.from_numpy(scenes.places)

    def loss_of(index: Tensor) -> Tensor:
        outputs = network.classifier(network(as_images(scenes.images[index.numpy()]))["final"])
        contents = F.binary_cross_entropy_with_logits(outputs[:, : len(CONTENTS)], present[index])
        return contents + F.cross_entropy(outputs[:, len(CONTENTS) :], labels[index])

    network.train()
    return network, optimise(
        list(network.parameters()), loss_of, recipe, len(scenes), "demo_resnet"
    )
