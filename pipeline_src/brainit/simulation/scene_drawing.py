"""Render scenes as pixels and as maps of their contents."""

import colorsys
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from brainit.simulation.figures import DRAWERS
from brainit.simulation.object_drawing import Pen, shade
from brainit.simulation.scenes import CONTENTS, Scene

_SUPERSAMPLING = 3


def render_scene(scene: Scene, size: int) -> NDArray[np.uint8]:
    """Return (size, size, 3) pixels, 0..255: the scene drawn at three times the size, averaged."""
    side = size * _SUPERSAMPLING
    image = Image.fromarray(_background(scene, side))
    _draw_things(scene, image)
    for item in scene.objects:
        DRAWERS[item.content](Pen(ImageDraw.Draw(image), item, side))
    return np.asarray(image.resize((size, size), Image.Resampling.BOX))


def content_map(scene: Scene, size: int) -> NDArray[np.uint8]:
    """Return (size, size) labels: 0 background, else 1 + the index of the content in `CONTENTS`."""
    side = size * _SUPERSAMPLING
    labels = np.zeros((side, side), dtype=np.uint8)
    for item in scene.objects:
        before = Image.new("RGB", (side, side), (1, 2, 3))
        DRAWERS[item.content](Pen(ImageDraw.Draw(before), item, side))
        drawn = (np.asarray(before) != (1, 2, 3)).any(axis=2)
        labels[drawn] = CONTENTS.index(item.content) + 1
    return np.ascontiguousarray(labels[_SUPERSAMPLING // 2 :: _SUPERSAMPLING, 1::_SUPERSAMPLING])


@lru_cache(maxsize=4)
def _grid(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    axis = ((np.arange(side) + 0.5) / side).astype(np.float32)
    ones = np.ones((side, side), dtype=np.float32)
    return ones * axis[None, :], ones * axis[:, None]


def _background(scene: Scene, side: int) -> NDArray[np.uint8]:
    """Return the pixels of sky and ground with the texture of the scene."""
    x, y = _grid(side)
    sky = np.array(colorsys.hsv_to_rgb(scene.sky, 0.35, 0.6 + 0.38 * scene.light))
    ground = np.array(colorsys.hsv_to_rgb(scene.ground, 0.45, 0.3 + 0.4 * scene.light))
    below = (y > scene.horizon).astype(np.float32)[..., None]
    colour = (sky * (1 - below) + ground * below).astype(np.float32)
    colour = colour * (1 - 0.25 * np.abs(y - scene.horizon))[..., None]
    along = x * np.cos(scene.texture_angle) + y * np.sin(scene.texture_angle)
    wave = np.sin(2 * np.pi * scene.texture_cycles * along) * scene.texture_contrast
    strength = np.where(below[..., 0] > 0, 0.5, 0.25)
    colour = colour * (1 + wave * strength)[..., None]
    return (np.clip(colour, 0, 1) * 255).astype(np.uint8)


_N_THINGS = 7


def _draw_things(scene: Scene, image: Image.Image) -> None:
    """Draw what stands at the horizon: from furrows to trunks, as high as the clutter says."""
    generator = np.random.default_rng(scene.noise_seed)
    draw, side = ImageDraw.Draw(image), image.width
    for left, height, width in generator.random((_N_THINGS, 3)):
        top = scene.horizon - 0.45 * scene.clutter * (0.4 + 0.6 * height)
        wide = 0.04 + 0.06 * width
        box = [left * side, top * side, (left + wide) * side, (scene.horizon + 0.02) * side]
        draw.rectangle(box, fill=shade(scene.ground + 0.08, 0.5, 0.2 + 0.25 * scene.light))
