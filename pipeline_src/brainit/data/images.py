"""Stored images as input of networks: float32 in [0, 1], channels first (paper 5.1, D).

A file apart from `data.pixels`, because it needs torch.
"""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from brainit.data.pixels import PixelStore


class ImageStore(PixelStore):
    """Stored images that are read as torch tensors."""

    def images(self, index: NDArray[np.int64]) -> Float[Tensor, "images 3 side side"]:
        """Return the images `index` as float32 in [0, 1]."""
        channels_first = np.ascontiguousarray(self.pixels(index).transpose(0, 3, 1, 2))
        return torch.from_numpy(channels_first).float().div_(255.0)


def to_uint8(images: Float[Tensor, "images 3 height width"]) -> NDArray[np.uint8]:
    """Clip images to [0, 1] and round them to 0..255, of axes (images, height, width, rgb)."""
    pixels = (images.clamp(0.0, 1.0) * 255.0).round().permute(0, 2, 3, 1).contiguous()
    return pixels.cpu().numpy().astype(np.uint8)
