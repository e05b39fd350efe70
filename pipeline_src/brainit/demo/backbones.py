"""Architectures and training of the demo's networks (by `make backbones`, not by the demo itself).

Each function trains one network for a fixed number of steps on a `SceneSet` and returns it with its
training curve. Objectives differ on purpose: silhouettes and colours for the VGG, contrastive loss
with captions and pixels for OpenCLIP, masked patches and caption words for the encoder's backbone.
The labels of the contents that drive the simulated category voxels supervise the metric network
alone, which has scenes and a seed of its own; captions name contents among much else.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from brainit.core.compat import import_torchvision
from brainit.core.seeds import seeded_init, torch_generator
from brainit.demo.scenes import (
    CAPTION_LENGTH,
    POSITIONS,
    VOCABULARY_SIZE,
    SceneSet,
    as_images,
    random_batches,
)
from brainit.features.encoder_backbone import EncoderBackbone
from brainit.features.residual_classifier import MetricNetwork
from brainit.features.semantic_tokens import SemanticTokens, build_clip
from brainit.features.vgg import VggFeatures
from brainit.simulation.scenes import CONTENTS, HUE_NAMES

logger = logging.getLogger(__name__)

_STEPS_BETWEEN_ROWS = 50
_PIXEL_WEIGHT = 5.0
_CONTENTS_WEIGHT = 4.0
"""Weight of the contents, against 1 for colours and positions, in the metric network's loss."""

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
        "n_outputs": len(CONTENTS) + len(HUE_NAMES) + len(POSITIONS),
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
    """Train the VGG to predict silhouettes and colours at each position from each of its taps.

    Heads (1x1 convolutions on the five taps, upsampled to 16 px) predict where an object is, by
    cross-entropy, and the 16 px thumbnail by L2, so that each tap keeps both; they are dropped
    afterwards. A second copy of the batch, with foreign colours and textures, trains only the
    thumbnails: otherwise images unlike any scene share the features of a scene, and inverting
    features finds those images (a published VGG has seen a million photographs).
    """
    network = build("demo_vgg_bn", recipe.seed)
    assert isinstance(network, VggFeatures)
    with seeded_init(recipe.seed, "vgg_heads"):
        heads = nn.ModuleList(nn.Conv2d(c, 4, 1) for c in network.channels)
    draws = torch_generator(recipe.seed, "demo_vgg_bn", "foreign")

    def loss_of(index: Tensor) -> Tensor:
        images = as_images(scenes.images[index.numpy()])
        is_object = torch.from_numpy(scenes.silhouettes[index.numpy()]).float()
        foreign = foreign_images(images, draws)
        both = torch.cat([images, foreign])
        thumbnails = F.interpolate(both, (16, 16), mode="area")
        total = torch.zeros(())
        for head, features in zip(heads, network(both), strict=True):
            x = F.interpolate(head(features), (16, 16), mode="bilinear", align_corners=False)
            silhouette = F.binary_cross_entropy_with_logits(x[: len(images), 0], is_object)
            total = total + silhouette + 10 * F.mse_loss(x[:, 1:], thumbnails)
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
    """Train the CLIP towers with open_clip's contrastive loss on images and captions.

    A linear head also fills in the pixels of each patch from its token, so that tokens keep what
    captions do not say, as those of a large tower do. At the end the last LayerNorm is scaled so
    that tokens have a deviation of 1 over scenes.
    """
    import_torchvision()
    from open_clip.loss import ClipLoss

    network = build("demo_openclip", recipe.seed)
    assert isinstance(network, SemanticTokens)
    clip: Any = network.clip
    patch = network.image_size // clip.visual.grid_size[0]
    with seeded_init(recipe.seed, "clip_pixels"):
        pixels = nn.Linear(network.width, 3 * patch * patch)
    contrast = ClipLoss()
    captions = torch.from_numpy(scenes.captions)

    def loss_of(index: Tensor) -> Tensor:
        images = as_images(scenes.images[index.numpy()])
        pooled, tokens = clip.visual(network.prepare(images))
        text_features = clip.encode_text(captions[index], normalize=True)
        scale = clip.logit_scale.exp().clamp(max=100.0)
        truth = F.unfold(images, patch, stride=patch).transpose(1, 2)
        filled = F.mse_loss(pixels(tokens), truth)
        return contrast(F.normalize(pooled, dim=-1), text_features, scale) + _PIXEL_WEIGHT * filled

    network.train()
    parameters = [*network.parameters(), *pixels.parameters()]
    curve = optimise(parameters, loss_of, recipe, len(scenes), "demo_openclip")
    scale_tokens(network.eval(), as_images(scenes.images[:2048]))
    return network, curve


@torch.no_grad()
def scale_tokens(network: SemanticTokens, images: Float[Tensor, "images rgb height width"]) -> None:
    """Scale the last LayerNorm, in place, so that tokens vary by 1 over the images.

    The deviation is taken over images, of each token's features, and averaged as a mean square.
    """
    tokens = torch.cat([network(part) for part in torch.split(images, 128)])
    deviation = tokens.var(dim=0).mean().sqrt()
    norm: Any = network.clip.visual.ln_post  # type: ignore[union-attr]
    norm.weight.div_(deviation)
    norm.bias.div_(deviation)


def train_vit(scenes: SceneSet, recipe: Recipe) -> tuple[nn.Module, Curve]:
    """Train the transformer to fill in masked patches and to name the words of the caption.

    Two in five patches are replaced by a learned mask; a linear head predicts the pixels of every
    patch (L2), another from the class token which words the caption has (cross-entropy).
    """
    network = build("demo_vit", recipe.seed)
    assert isinstance(network, EncoderBackbone)
    patch = network.patch
    with seeded_init(recipe.seed, "vit_heads"):
        pixels = nn.Linear(network.width, 3 * patch * patch)
        words = nn.Linear(network.width, VOCABULARY_SIZE)
        norm = nn.LayerNorm(network.width)
        mask = nn.Parameter(torch.zeros(network.width))
    masks = torch_generator(recipe.seed, "vit_masks")
    first_patch = 1 + network.n_registers
    captions = torch.from_numpy(scenes.captions)

    def loss_of(index: Tensor) -> Tensor:
        images = as_images(scenes.images[index.numpy()])
        tokens = network.embed(images)
        hidden = torch.rand(len(index), network.n_tokens - 1, 1, generator=masks) < 0.4
        patches = torch.where(hidden, mask + network.position[:, 1:], tokens[:, first_patch:])
        tokens = torch.cat([tokens[:, :first_patch], patches], dim=1)
        for block in network.blocks:
            tokens = block(tokens)
        x = norm(tokens)
        truth = F.unfold(images, patch, stride=patch).transpose(1, 2)
        has_word = torch.zeros(len(index), VOCABULARY_SIZE).scatter_(1, captions[index], 1.0)
        named = F.binary_cross_entropy_with_logits(words(x[:, 0]), has_word)
        return _PIXEL_WEIGHT * F.mse_loss(pixels(x[:, first_patch:]), truth) + 5 * named

    heads = [*pixels.parameters(), *words.parameters(), *norm.parameters(), mask]
    network.train()
    parameters = [*network.parameters(), *heads]
    return network, optimise(parameters, loss_of, recipe, len(scenes), "demo_vit")


def train_resnet(scenes: SceneSet, recipe: Recipe) -> tuple[nn.Module, Curve]:
    """Train the metric network to predict contents of objects, their colours and positions.

    It learns nothing of the place, so that identification by its last tap is by objects.
    """
    network = build("demo_resnet", recipe.seed)
    assert isinstance(network, MetricNetwork)
    labels = np.concatenate([scenes.contents, scenes.hues, scenes.positions], axis=1)
    shown = torch.from_numpy(labels).float()
    n_contents = len(CONTENTS)

    def loss_of(index: Tensor) -> Tensor:
        outputs = network.classifier(network(as_images(scenes.images[index.numpy()]))["final"])
        bits = F.binary_cross_entropy_with_logits(outputs, shown[index], reduction="none")
        bits = bits.mean(dim=0)
        return _CONTENTS_WEIGHT * bits[:n_contents].mean() + bits[n_contents:].mean()

    network.train()
    return network, optimise(
        list(network.parameters()), loss_of, recipe, len(scenes), "demo_resnet"
    )
