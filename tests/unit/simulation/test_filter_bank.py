"""The simulated brain's filter bank against plain loops."""

import numpy as np
import pytest

from brainit.simulation.filter_bank import (
    CYCLES_PER_IMAGE,
    MAP_SIZE,
    N_CHANNELS,
    ORIENTATIONS,
    channel_maps,
    gabor,
)

SIDE = 48


def energy_in_loops(luminance: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve pixel by pixel, the image continued by its edge pixels."""
    radius = kernel.shape[0] // 2
    side = len(luminance)
    pixel, weight = luminance.tolist(), kernel.tolist()
    out = np.zeros((side, side))
    for row in range(side):
        for column in range(side):
            total = 0j
            for i in range(-radius, radius + 1):
                y = min(max(row - i, 0), side - 1)
                for j in range(-radius, radius + 1):
                    x = min(max(column - j, 0), side - 1)
                    total += pixel[y][x] * weight[i + radius][j + radius]
            out[row, column] = abs(total)
    return out


@pytest.mark.parametrize("channel", [3, 9])
def test_energies_are_convolutions(channel: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    cycles = CYCLES_PER_IMAGE[channel // len(ORIENTATIONS)]
    kernel = gabor(SIDE, cycles, ORIENTATIONS[channel % len(ORIENTATIONS)])
    luminance = (pixels / 255) @ np.array([0.299, 0.587, 0.114])
    full = energy_in_loops(luminance, kernel)
    expected = full.reshape(MAP_SIZE, 2, MAP_SIZE, 2).mean((1, 3))
    np.testing.assert_allclose(channel_maps(pixels)[channel], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("orientation", range(4))
@pytest.mark.parametrize("scale", range(3))
def test_a_grating_drives_its_own_channel_most(orientation: int, scale: int) -> None:
    y, x = np.mgrid[:96, :96] / 96
    angle = ORIENTATIONS[orientation]
    along = x * np.cos(angle) + y * np.sin(angle)
    wave = 0.5 + 0.4 * np.sin(2 * np.pi * CYCLES_PER_IMAGE[scale] * along)
    pixels = np.repeat((255 * wave).astype(np.uint8)[..., None], 3, axis=2)
    means = channel_maps(pixels)[:12].mean((1, 2)).reshape(3, 4)
    assert np.unravel_index(means.argmax(), means.shape) == (scale, orientation)


def test_a_plain_image_drives_only_colours() -> None:
    red = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    red[..., 0] = 200
    maps = channel_maps(red)
    assert maps.shape == (N_CHANNELS, MAP_SIZE, MAP_SIZE)
    assert np.abs(maps[:12]).max() < 1e-6
    light, dark, is_red, is_green, is_blue, is_yellow = maps[12:].mean((1, 2))
    assert is_red == pytest.approx(200 / 255, rel=1e-5)
    assert dark > light == 0
    assert is_green == is_blue == 0
    assert is_yellow > 0
