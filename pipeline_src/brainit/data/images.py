"""Images as input of networks: float32 in [0, 1], channels first, resized (paper 5.1, D).

A file apart from `data.pixels`, because it needs torch.
"""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from brainit.data.pixels import PixelStore


class ImageStore(PixelStore):
    """Stored images that are read as torch tensors."""

    def images(self, index: NDArray[np.int64]) -> Float[Tensor, "images 3 side side"]:
        """Return the images `index` as float32 in [0, 1]."""
        return images_on(torch.from_numpy(self.pixels(index)), torch.device("cpu"))


def images_on(
    pixels: UInt8[Tensor, "images height width rgb"], device: torch.device
) -> Float[Tensor, "images rgb height width"]:
    """Move pixels to a device as bytes, and return them there as float32 in [0, 1]."""
    moved = pixels.to(device, non_blocking=True).permute(0, 3, 1, 2)
    return moved.to(torch.float32, memory_format=torch.contiguous_format).div_(255.0)


def to_uint8(images: Float[Tensor, "images 3 height width"]) -> NDArray[np.uint8]:
    """Clip images to [0, 1] and round them to 0..255, of axes (images, height, width, rgb)."""
    pixels = (images.clamp(0.0, 1.0) * 255.0).round().permute(0, 2, 3, 1).contiguous()
    return pixels.cpu().numpy().astype(np.uint8)


def resize_images(
    images: Float[Tensor, "batch rgb height width"], size: int, mode: str = "bilinear"
) -> Float[Tensor, "batch rgb size size"]:
    """Resize square images for a network to `size` pixels a side, everywhere the same way.

    Images of that size are returned unchanged. `mode` is bilinear or bicubic, both antialiased;
    bicubic may slightly exceed [0, 1].
    """
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode=mode, antialias=True, align_corners=False)
