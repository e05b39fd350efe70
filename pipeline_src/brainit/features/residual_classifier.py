"""The demo's metric network: a residual classifier that only the evaluation uses.

Its architecture and objective differ from those of every network that the decoder uses; its card
names its scenes and its seed. Two taps: `mid` (after the second stage, pooled to 8 x 8) and `final`
(pooled, before the classifier).
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from brainit.data.images import resize_images
from brainit.features.vgg import IMAGENET_MEAN, IMAGENET_STD
from brainit.features.weights_file import sizes_of
from brainit.simulation.scenes import CONTENTS


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and width == out
            else nn.Sequential(nn.Conv2d(width, out, 1, stride=stride), nn.BatchNorm2d(out))
        )

    def forward(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c2 h2 w2"]:
        """Return the block's output."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class MetricNetwork(nn.Module):
    """Small residual network with `n_outputs` classification outputs.

    The first outputs say which of `contents` an image shows.
    """

    taps = ("mid", "final")
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        widths: tuple[int, ...],
        n_outputs: int,
        image_size: int,
        contents: Sequence[str] = CONTENTS,
    ) -> None:
        super().__init__()
        self.image_size, self.contents = image_size, tuple(contents)
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1, stride=2)
        pairs = zip((widths[0], *widths[:-1]), widths, strict=True)
        self.stages = nn.ModuleList(
            ResidualBlock(a, b, stride=1 if i == 0 else 2) for i, (a, b) in enumerate(pairs)
        )
        self.classifier = nn.Linear(widths[-1], n_outputs)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(
        self, images: Float[Tensor, "batch rgb height width"]
    ) -> dict[str, Float[Tensor, "batch _features"]]:
        """Return the flattened features of images in [0, 1] at each tap."""
        x = (resize_images(images, self.image_size) - self.mean) / self.std
        x = F.relu(self.stem(x))
        features = {}
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number == 1:
                features["mid"] = F.adaptive_avg_pool2d(x, 8).flatten(1)
        features["final"] = x.mean(dim=(2, 3))
        return features

    def content_outputs(
        self, features: Float[Tensor, "batch features"]
    ) -> Float[Tensor, "batch contents"]:
        """Return how sure the network is that an image shows each of `contents`, as logits.

        `features` are those of the tap `final`.
        """
        outputs: Tensor = self.classifier(features)
        return outputs[:, : len(self.contents)]


def build_metric_network(architecture: dict[str, Any]) -> MetricNetwork:
    """Return an untrained network of the given sizes.

    `contents` names the first outputs; without it they are those of the simulated scenes.
    """
    return MetricNetwork(**{**sizes_of(architecture), "widths": tuple(architecture["widths"])})
