"""Resize images for networks: bilinear (or bicubic), antialiased, everywhere the same."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def resize_images(
    images: Float[Tensor, "batch rgb height width"], size: int, mode: str = "bilinear"
) -> Float[Tensor, "batch rgb size size"]:
    """Resize square images to `size` pixels a side; images of that size are returned unchanged.

    `mode` is bilinear or bicubic, both antialiased; bicubic may slightly exceed [0, 1].
    """
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode=mode, antialias=True, align_corners=False)
