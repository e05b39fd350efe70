"""Images from low-level features by Deep Image Prior (sections 3.2 and D.2, equal layer weights).

Each image has its own network and input noise, fitted until the VGG features of the output match
the target features; the result is the moving average of the outputs. Images are fitted in chunks of
`dip.chunk`. All draws for an image depend only on the seed and its id, the loss is a sum over
images and all chunks have one size, so the bytes of an image depend on no other.

Differs from the paper: as in the released code the network makes images of `dip.size`, which are
downsampled (bicubic, antialiased) only for the VGG network.
"""

import logging
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from brainit.core.errors import PipelineError
from brainit.core.progress import progress
from brainit.core.seeds import torch_generator
from brainit.core.settings import DipSettings
from brainit.models.deep_image_prior import SkipNetStack, resize
from brainit.reconstruction.batches import fixed_batches

logger = logging.getLogger(__name__)


@runtime_checkable
class FeatureNetwork(Protocol):
    """A network of the role `vgg`: maps of several layers of images in [0, 1]."""

    image_size: int

    def __call__(
        self, images: Float[Tensor, "images 3 height width"], /
    ) -> Sequence[Float[Tensor, "images _channels _map_height _map_width"]]:
        """Return the maps, differentiable in the images."""
        ...


def invert_features(
    targets: Sequence[Float[Tensor, "images _channels _height _width"]],
    image_ids: Sequence[int],
    vgg: FeatureNetwork,
    settings: DipSettings,
    seed: int,
    device: torch.device,
) -> Float[Tensor, "images 3 size size"]:
    """Return the images in [0, 1] whose VGG features match `targets`, one map per layer.

    `image_ids` name the random streams of the images. `vgg` returns the maps of images in [0, 1];
    its parameters are not trained. The computation uses the dtype of the targets and chunks of
    `dip.chunk` images; the result is on the CPU. Raises `PipelineError` where the targets are not
    finite or not as many as `image_ids`.
    """
    _check_targets(targets, image_ids)
    images = []
    chunks = fixed_batches(len(image_ids), settings.chunk)
    for chunk in progress(chunks, "deep image prior", unit="chunk"):
        part = [target[chunk.rows] for target in targets]
        ids = [image_ids[row] for row in chunk.rows]
        found = invert_chunk(part, ids, vgg, settings, seed, device)
        images.append(found[: chunk.n_kept])
    return torch.cat(images)


def _check_targets(targets: Sequence[Tensor], image_ids: Sequence[int]) -> None:
    fix = "rerun the low-level BIT's training; its predictions may have diverged"
    for layer, target in enumerate(targets):
        if len(target) != len(image_ids) or not len(image_ids):
            raise PipelineError(
                f"features of layer {layer}",
                f"{len(image_ids)} > 0 images",
                f"{len(target)}",
                fix,
                code="wrong-shape",
            )
        if not bool(torch.isfinite(target).all()):
            where, found = f"features of layer {layer}", "NaN or infinity"
            raise PipelineError(where, "finite numbers", found, fix, code="bad-values")


def invert_chunk(
    targets: Sequence[Float[Tensor, "images _channels _height _width"]],
    image_ids: Sequence[int],
    vgg: FeatureNetwork,
    settings: DipSettings,
    seed: int,
    device: torch.device,
) -> Float[Tensor, "images 3 size size"]:
    """Invert the features of one chunk of images at once; see `invert_features`."""
    _check_targets(targets, image_ids)
    targets = [target.to(device) for target in targets]
    like = targets[0]
    nets = SkipNetStack(
        [torch_generator(seed, "dip_network", int(i)) for i in image_ids], settings
    ).to(like)
    noise = _Noise(image_ids, settings, seed, like)
    optimizer = torch.optim.Adam(nets.parameters(), lr=settings.lr, fused=True)
    average: Tensor | None = None
    first_loss = torch.zeros(())
    for step in range(settings.iterations):
        optimizer.zero_grad()
        images = nets(noise.draw())
        loss = feature_loss(vgg(resize(images, vgg.image_size, "bicubic")), targets)
        loss.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        first_loss = loss.detach().mean() if step == 0 else first_loss
        output = images.detach()
        average = output.clone() if average is None else average.lerp_(output, 1 - settings.ema)
    assert average is not None
    logger.info(
        "mean feature loss of %d images: %.4g at first, %.4g after %d steps",
        len(image_ids),
        float(first_loss),
        float(loss.detach().mean()),
        settings.iterations,
    )
    return average.cpu()


def feature_loss(
    maps: Sequence[Float[Tensor, "images _channels _height _width"]],
    targets: Sequence[Float[Tensor, "images _channels _height _width"]],
) -> Float[Tensor, "images"]:
    """Return each image's mean over layers of the mean squared error of its maps (D.2)."""
    errors = [
        (maps_of_layer - target).square().mean((1, 2, 3))
        for maps_of_layer, target in zip(maps, targets, strict=True)
    ]
    return torch.stack(errors).mean(0)


class _Noise:
    """The fixed uniform input of each network, plus new Gaussian noise at each step."""

    def __init__(
        self, image_ids: Sequence[int], settings: DipSettings, seed: int, like: Tensor
    ) -> None:
        device = like.device.type
        shape = (settings.input_depth, settings.size, settings.size)
        ids = [int(i) for i in image_ids]
        self._generators = [torch_generator(seed, "dip_noise", i, device=device) for i in ids]
        inputs = [torch.rand(shape, generator=torch_generator(seed, "dip_input", i)) for i in ids]
        self._fixed = torch.stack(inputs).to(like) * settings.input_noise
        self._fresh = torch.empty_like(self._fixed)
        self._std = settings.noise_std

    def draw(self) -> Float[Tensor, "images depth size size"]:
        """Return the inputs of the next step."""
        if not self._std:
            return self._fixed
        for row, generator in zip(self._fresh, self._generators, strict=True):
            row.normal_(generator=generator)
        return torch.add(self._fixed, self._fresh, alpha=self._std)
