"""The filter bank of the simulated early visual areas: oriented energies and opponent colours.

It is plain NumPy, so that the problem is not circular: the simulated responses use no network of
the decoder.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

ORIENTATIONS = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
CYCLES_PER_IMAGE = (4.0, 8.0, 14.0)
COLOURS = ("light", "dark", "red", "green", "blue", "yellow")
N_CHANNELS = len(ORIENTATIONS) * len(CYCLES_PER_IMAGE) + len(COLOURS)
MAP_SIZE = 24


def channel_maps(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the (channels, 24, 24) responses to an image of (side, side, 3) pixels, 0..255.

    Channels: quadrature energy of luminance at 4 orientations x 3 spatial frequencies (frequency
    slowest), then rectified colours: light, dark, red, green, blue, yellow.
    """
    rgb = pixels.astype(np.float64) / 255
    luminance = rgb @ np.array([0.299, 0.587, 0.114])
    energies = [energy for cycles in CYCLES_PER_IMAGE for energy in _energies(luminance, cycles)]
    maps = [*energies, *_colours(rgb, luminance)]
    return np.stack([_shrink(channel) for channel in maps]).astype(np.float32)


def gabor(side: int, cycles: float, angle: float) -> NDArray[np.complex128]:
    """Return a complex Gabor patch without mean, of `cycles` per image of `side` pixels.

    Its envelope's standard deviation is 0.4 periods; the wave runs along (cos, sin) of `angle`.
    """
    period = side / cycles
    radius = int(np.ceil(1.2 * period))
    axis = np.arange(-radius, radius + 1)
    x, y = np.meshgrid(axis, axis)
    along = x * np.cos(angle) + y * np.sin(angle)
    envelope = np.exp(-(x**2 + y**2) / (2 * (0.4 * period) ** 2))
    wave = envelope * np.exp(2j * np.pi * along / period)
    wave -= envelope * wave.sum() / envelope.sum()
    return wave / np.abs(wave).sum()


def _energies(luminance: NDArray[np.float64], cycles: float) -> list[NDArray[np.float64]]:
    """Return the energy at each orientation; edge pixels pad the image.

    The transform covers the padded image, so that no wrap-around reaches the image itself.
    """
    side = luminance.shape[0]
    radius, length, kernels = _spectra(side, cycles)
    spectrum = fft.fft2(np.pad(luminance, radius, mode="edge"), (length, length))
    inner = slice(2 * radius, 2 * radius + side)
    return list(np.abs(fft.ifft2(spectrum * kernels)[:, inner, inner]))


@lru_cache(maxsize=8)
def _spectra(side: int, cycles: float) -> tuple[int, int, NDArray[np.complex128]]:
    """Return the radius of the Gabors, the length of the transform and the spectra."""
    kernels = [gabor(side, cycles, angle) for angle in ORIENTATIONS]
    radius = kernels[0].shape[0] // 2
    length: int = fft.next_fast_len(side + 2 * radius)
    return radius, length, np.stack([fft.fft2(kernel, (length, length)) for kernel in kernels])


def _colours(rgb: NDArray[np.float64], luminance: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    red_green = rgb[..., 0] - rgb[..., 1]
    blue_yellow = rgb[..., 2] - (rgb[..., 0] + rgb[..., 1]) / 2
    contrasts = (luminance - 0.45, red_green, blue_yellow)
    return [np.maximum(sign * contrast, 0) for contrast in contrasts for sign in (1, -1)]


def _shrink(channel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average blocks of pixels down to 24 x 24."""
    side = channel.shape[0]
    edges = np.linspace(0, side, MAP_SIZE + 1).round().astype(int)
    sums = np.add.reduceat(np.add.reduceat(channel, edges[:-1], axis=0), edges[:-1], axis=1)
    sizes = np.diff(edges)
    return sums / (sizes[:, None] * sizes[None, :])
