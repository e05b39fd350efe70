"""Render scenes as pixels and as maps of their contents."""

import colorsys
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from brainit.simulation.object_drawing import DRAWERS, Pen, Rgb
from brainit.simulation.scenes import CONTENTS, Scene

_SUPERSAMPLING = 3


def render_scene(scene: Scene, size: int) -> NDArray[np.uint8]:
    """Return (size, size, 3) pixels, 0..255: the scene drawn at three times the size, averaged."""
    side = size * _SUPERSAMPLING
    image = Image.fromarray(_background(scene, side))
    _draw_place(scene, image)
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


_SKY_AND_GROUND: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "beach": ((0.55, 0.45, 0.95), (0.12, 0.40, 0.92)),
    "field": ((0.58, 0.25, 0.95), (0.28, 0.60, 0.65)),
    "street": ((0.60, 0.10, 0.80), (0.60, 0.05, 0.42)),
    "room": ((0.08, 0.25, 0.90), (0.07, 0.50, 0.50)),
    "night": ((0.66, 0.70, 0.25), (0.70, 0.45, 0.14)),
    "forest": ((0.33, 0.45, 0.45), (0.10, 0.55, 0.32)),
}


def _background(scene: Scene, side: int) -> NDArray[np.uint8]:
    """Return the pixels of sky and ground with the texture of the scene."""
    x, y = _grid(side)
    shift = 0.10 * (scene.hue - 0.5)
    value = 0.55 + 0.45 * scene.light
    sky, ground = (
        np.array(colorsys.hsv_to_rgb((h + shift) % 1, s, v * value), dtype=np.float32)
        for h, s, v in _SKY_AND_GROUND[scene.place]
    )
    below = (y > scene.horizon).astype(np.float32)[..., None]
    colour = sky * (1 - below) + ground * below
    colour = colour * (1 - 0.25 * np.abs(y - scene.horizon))[..., None]
    along = x * np.cos(scene.texture_angle) + y * np.sin(scene.texture_angle)
    wave = np.sin(2 * np.pi * scene.texture_cycles * along) * scene.texture_contrast
    strength = np.where(below[..., 0] > 0, 0.5, 0.25)
    colour = colour * (1 + wave * strength)[..., None]
    return (np.clip(colour, 0, 1) * 255).astype(np.uint8)


def _draw_place(scene: Scene, image: Image.Image) -> None:
    """Draw the details of the place: waves, grass, buildings, a window, stars or trunks."""
    generator = np.random.default_rng(scene.noise_seed)
    draw = ImageDraw.Draw(image)
    side = image.width
    horizon = scene.horizon * side
    for x, y, z in generator.random((9, 3)):
        left, depth = x * side, y * side * (1 - scene.horizon)
        if scene.place == "beach":
            sea: Rgb = (40, 110 + int(60 * z), 190)
            top = horizon + depth * 0.3
            draw.line([left, top, left + side * 0.25, top], fill=sea, width=side // 40)
        elif scene.place == "field":
            top = horizon + depth
            draw.line([left, top, left + side * 0.02, top - side * 0.08], (30, 90, 20), side // 60)
        elif scene.place == "street":
            height = (0.15 + 0.35 * z) * side
            grey = int(90 + 90 * y)
            box = [left, horizon - height, left + side * 0.14, horizon]
            draw.rectangle(box, fill=(grey, grey, grey + 15))
        elif scene.place == "room":
            if x > 0.75:
                box = [left * 0.8, horizon * 0.2, left * 0.8 + side * 0.2, horizon * 0.7]
                draw.rectangle(box, fill=(190, 220, 250), outline=(90, 60, 40), width=side // 50)
        elif scene.place == "night":
            radius = side * (0.006 + 0.01 * z)
            top = y * horizon
            draw.ellipse([left, top, left + radius * 2, top + radius * 2], fill=(250, 250, 200))
        else:
            width = side * (0.03 + 0.04 * z)
            draw.rectangle([left, 0, left + width, horizon + depth * 0.5], fill=(70, 45, 25))
