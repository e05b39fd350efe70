"""Simulated stimuli: scenes with contents to which human visual cortex is selective.

A scene is a background place with one to three objects (face, body, house, word, food, tool), each
with a position, size, colour and shape variant. The pixels depend only on the `Scene`.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

CONTENTS: tuple[str, ...] = ("face", "body", "house", "word", "food", "tool")
PLACES: tuple[str, ...] = ("beach", "field", "street", "room", "night", "forest")
WORDS: tuple[str, ...] = (
    "SUN", "TREE", "BOOK", "RIVER", "STONE", "CAKE", "BIRD", "OPEN", "STOP", "EXIT", "TAXI", "BANK",
    "MILK", "HOTEL", "PARK", "FISH", "NORTH", "RADIO", "GREEN", "PIANO",
)  # fmt: skip
N_VARIANTS = 4
HUE_NAMES: tuple[str, ...] = ("red", "yellow", "green", "cyan", "blue", "purple")

_N_OBJECTS_SHARES = (0.45, 0.40, 0.15)
_LEAST_SIZE, _LARGEST_SIZE = 0.32, 0.78
_LARGEST_OVERLAP = 0.35
_PLACEMENT_TRIALS = 30


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene.

    `x`, `y` are the centre as fractions of the image, to the right and down; `size` is the height
    as a fraction of the side; `hue` is in [0, 1); `variant` and `detail` (six numbers in [0, 1))
    fix the shape.
    """

    content: str
    x: float
    y: float
    size: float
    hue: float
    variant: int
    detail: tuple[float, ...]


@dataclass(frozen=True)
class Scene:
    """Objects, from back to front, in front of a background.

    `horizon` is a fraction of the height; `texture_angle` is in radians, `texture_cycles` per
    image, `texture_contrast` in [0, 1]; `noise_seed` fixes the scattered details of the place.
    """

    objects: tuple[SceneObject, ...]
    place: str
    hue: float
    light: float
    horizon: float
    texture_angle: float
    texture_cycles: float
    texture_contrast: float
    noise_seed: int


def draw_scene(generator: np.random.Generator) -> Scene:
    """Draw a scene: place, texture, and one to three objects that overlap little."""
    n_objects = int(generator.choice(3, p=_N_OBJECTS_SHARES)) + 1
    objects: list[SceneObject] = []
    for _ in range(n_objects):
        placed = _place_object(generator, objects, n_objects)
        if placed is not None:
            objects.append(placed)
    return Scene(
        objects=tuple(objects),
        place=str(generator.choice(PLACES)),
        hue=float(generator.random()),
        light=float(generator.uniform(0.35, 1.0)),
        horizon=float(generator.uniform(0.35, 0.75)),
        texture_angle=float(generator.uniform(0, np.pi)),
        texture_cycles=float(2 ** generator.uniform(1.0, 3.6)),
        texture_contrast=float(generator.uniform(0.05, 0.6)),
        noise_seed=int(generator.integers(2**31)),
    )


def _place_object(
    generator: np.random.Generator, others: list[SceneObject], n_objects: int
) -> SceneObject | None:
    """Draw an object that overlaps the others by at most a third; None if no position fits."""
    largest = _LARGEST_SIZE if n_objects == 1 else 0.55
    for _ in range(_PLACEMENT_TRIALS):
        size = float(generator.uniform(_LEAST_SIZE, largest))
        margin = size * 0.42
        x, y = (float(v) for v in generator.uniform(margin, 1 - margin, 2))
        apart = all(
            max(abs(x - o.x), abs(y - o.y)) > (1 - _LARGEST_OVERLAP) * (size + o.size) / 2
            for o in others
        )
        if apart:
            return SceneObject(
                content=str(generator.choice(CONTENTS)),
                x=x,
                y=y,
                size=size,
                hue=float(generator.random()),
                variant=int(generator.integers(N_VARIANTS)),
                detail=tuple(float(v) for v in generator.random(6)),
            )
    return None


def caption(scene: Scene) -> str:
    """Describe a scene: size, colour, content and side of each object, and the place."""
    parts = [_describe(item) for item in scene.objects]
    return " and ".join(parts) + f" in a {scene.place}"


def _describe(item: SceneObject) -> str:
    size = "large" if item.size > 0.5 else "small"
    colour = HUE_NAMES[round(item.hue * len(HUE_NAMES)) % len(HUE_NAMES)]
    side = "left" if item.x < 0.42 else "right" if item.x > 0.58 else "centre"
    height = "top" if item.y < 0.42 else "bottom" if item.y > 0.58 else "middle"
    return f"a {size} {colour} {item.content} {height} {side}"


def scene_to_dict(scene: Scene) -> dict[str, Any]:
    """Return the scene as a dictionary for JSON."""
    return asdict(scene)


def scene_from_dict(values: dict[str, Any]) -> Scene:
    """Return the scene of a dictionary from `scene_to_dict`."""
    objects = tuple(
        SceneObject(**{**item, "detail": tuple(item["detail"])}) for item in values["objects"]
    )
    return Scene(**{**values, "objects": objects})
