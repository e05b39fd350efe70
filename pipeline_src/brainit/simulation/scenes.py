"""Simulated stimuli: scenes with contents to which human visual cortex is selective.

A scene is a place with one or two objects of twenty contents, each with a position, size, colour,
pose and shape. Everything but the content is continuous, the place too. The pixels depend only on
the `Scene`.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

KINDS: dict[str, tuple[str, ...]] = {
    "face": ("face", "cat"),
    "body": ("body", "dog", "bird", "fish"),
    "place": ("house", "tower", "tree", "car"),
    "word": ("word", "sign", "clock"),
    "food": ("fruit", "burger", "cake", "ice"),
    "tool": ("hammer", "scissors", "saw"),
}
"""The contents of each kind; a category area of the simulated brain prefers one kind."""
CONTENTS: tuple[str, ...] = tuple(content for kind in KINDS.values() for content in kind)
WORDS: tuple[str, ...] = (
    "SUN", "TREE", "BOOK", "STONE", "CAKE", "BIRD", "OPEN", "STOP", "EXIT", "TAXI", "BANK", "MILK",
)  # fmt: skip
HUE_NAMES: tuple[str, ...] = ("red", "yellow", "green", "cyan", "blue", "purple")
HEIGHTS: tuple[str, ...] = ("low", "level", "high")
"""Where the horizon is, for a caption."""
LIGHTS: tuple[str, ...] = ("dark", "dim", "bright")
CLUTTERS: tuple[str, ...] = ("flat", "rough", "steep")
"""How high the things at the horizon rise, for a caption."""

N_DETAILS = 4
_SINGLE_SHARE = 0.55
_SINGLE_SIZES, _PAIR_SIZES = (0.60, 0.95), (0.45, 0.62)
_HUE_SPREAD = 0.12
_LARGEST_OVERLAP = 0.35
_LARGEST_POSE = 0.25
_PLACEMENT_TRIALS = 60
_HORIZONS = (0.35, 0.75)
USUAL_HUES: dict[str, float] = {
    "face": 0.95, "cat": 0.08, "body": 0.60, "dog": 0.05, "bird": 0.50, "fish": 0.10,
    "house": 0.13, "tower": 0.62, "tree": 0.33, "car": 0.00, "word": 0.66, "sign": 0.98,
    "clock": 0.42, "fruit": 0.02, "burger": 0.28, "cake": 0.90, "ice": 0.85, "hammer": 0.15,
    "scissors": 0.75, "saw": 0.55,
}  # fmt: skip
"""The hue around which the objects of a content are coloured."""


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene.

    `x`, `y` are the centre as fractions of the image, to the right and down; `size` is the height
    as a fraction of the side; `hue` is in [0, 1); `pose` is the angle in radians, clockwise, by
    which the object leans; `detail` (four numbers in [0, 1)) fixes the shape.
    """

    content: str
    x: float
    y: float
    size: float
    hue: float
    pose: float
    detail: tuple[float, ...]


@dataclass(frozen=True)
class Scene:
    """Objects, from back to front, at a place.

    The place is all the rest: `sky`, `ground` (hues in [0, 1)), `light` and `clutter` in [0, 1),
    `horizon` (fraction of the height); `texture_angle` in radians, `texture_cycles` per image,
    `texture_contrast` in [0, 1]; `noise_seed` fixes the things that stand at the horizon.
    """

    objects: tuple[SceneObject, ...]
    sky: float
    ground: float
    light: float
    horizon: float
    clutter: float
    texture_angle: float
    texture_cycles: float
    texture_contrast: float
    noise_seed: int


def draw_scene(generator: np.random.Generator) -> Scene:
    """Draw a scene: a place, and one object or two that overlap little."""
    n_objects = 1 if generator.random() < _SINGLE_SHARE else 2
    objects: list[SceneObject] = []
    for _ in range(n_objects):
        placed = _place_object(generator, objects, n_objects)
        if placed is not None:
            objects.append(placed)
    return Scene(
        objects=tuple(objects),
        sky=float(generator.random()),
        ground=float(generator.random()),
        light=float(generator.random()),
        horizon=float(generator.uniform(*_HORIZONS)),
        clutter=float(generator.random()),
        texture_angle=float(generator.uniform(0, np.pi)),
        texture_cycles=float(2 ** generator.uniform(1.0, 3.0)),
        texture_contrast=float(generator.uniform(0.05, 0.4)),
        noise_seed=int(generator.integers(2**31)),
    )


def _place_object(
    generator: np.random.Generator, others: list[SceneObject], n_objects: int
) -> SceneObject | None:
    """Draw an object that overlaps the others by at most a third; None if no position fits."""
    for _ in range(_PLACEMENT_TRIALS):
        size = float(generator.uniform(*(_SINGLE_SIZES if n_objects == 1 else _PAIR_SIZES)))
        margin = size * 0.42
        x, y = (float(v) for v in generator.uniform(margin, 1 - margin, 2))
        apart = all(
            max(abs(x - o.x), abs(y - o.y)) > (1 - _LARGEST_OVERLAP) * (size + o.size) / 2
            for o in others
        )
        if apart:
            content = str(generator.choice(CONTENTS))
            spread = float(generator.uniform(-_HUE_SPREAD, _HUE_SPREAD))
            return SceneObject(
                content=content,
                x=x,
                y=y,
                size=size,
                hue=(USUAL_HUES[content] + spread) % 1.0,
                pose=float(generator.uniform(-_LARGEST_POSE, _LARGEST_POSE)),
                detail=tuple(float(v) for v in generator.random(N_DETAILS)),
            )
    return None


def place_words(scene: Scene) -> tuple[str, str, str, str, str]:
    """Return what a caption says of a place: light, sky, ground, horizon and clutter.

    These are 972 places; two scenes with the same words look alike but for texture and things.
    """
    first, last = _HORIZONS
    return (
        _third(scene.light, LIGHTS),
        hue_name(scene.sky),
        hue_name(scene.ground),
        _third((last - scene.horizon) / (last - first), HEIGHTS),
        _third(scene.clutter, CLUTTERS),
    )


def _third(value: float, names: tuple[str, ...]) -> str:
    return names[min(int(value * len(names)), len(names) - 1)]


def hue_name(hue: float) -> str:
    """Return the colour word of a hue in [0, 1)."""
    return HUE_NAMES[round(hue * len(HUE_NAMES)) % len(HUE_NAMES)]


def place_values(scene: Scene) -> tuple[float, ...]:
    """Return the place as numbers to which a brain can respond, each about in [-1, 1].

    Cosine and sine of the hues of sky and ground, then light, horizon and clutter.
    """
    hues = [2 * np.pi * hue for hue in (scene.sky, scene.ground)]
    first, last = _HORIZONS
    height = (scene.horizon - first) / (last - first)
    rest = [2 * value - 1 for value in (scene.light, height, scene.clutter)]
    return (*(float(f(hue)) for hue in hues for f in (np.cos, np.sin)), *rest)


N_PLACE_VALUES = 7


def caption(scene: Scene) -> str:
    """Describe a scene: size, colour, content and position of each object, and the place."""
    light, sky, ground, height, clutter = place_words(scene)
    objects = " and ".join(_describe(item) for item in scene.objects)
    return f"{objects} in {light} {clutter} {ground} land under {height} {sky} sky"


def _describe(item: SceneObject) -> str:
    size = "large" if item.size > 0.62 else "small"
    height, side = position_words(item)
    return f"a {size} {hue_name(item.hue)} {item.content} {height} {side}"


def position_words(item: SceneObject) -> tuple[str, str]:
    """Return where an object is: top, middle or bottom, and left, centre or right."""
    height = "top" if item.y < 0.45 else "bottom" if item.y > 0.55 else "middle"
    side = "left" if item.x < 0.45 else "right" if item.x > 0.55 else "centre"
    return height, side


def scene_to_dict(scene: Scene) -> dict[str, Any]:
    """Return the scene as a dictionary for JSON."""
    return asdict(scene)


def scene_from_dict(values: dict[str, Any]) -> Scene:
    """Return the scene of a dictionary from `scene_to_dict`."""
    objects = tuple(
        SceneObject(**{**item, "detail": tuple(item["detail"])}) for item in values["objects"]
    )
    return Scene(**{**values, "objects": objects})
