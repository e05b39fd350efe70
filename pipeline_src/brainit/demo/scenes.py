"""Scenes on which the demo's networks are trained: images, silhouettes, captions, attributes.

Their random streams have their own names, so the scenes differ from every subject's stimuli.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.progress import progress
from brainit.core.streams import numpy_generator
from brainit.simulation.scene_drawing import content_map, render_scene
from brainit.simulation.scenes import (
    CLUTTERS,
    CONTENTS,
    HEIGHTS,
    HUE_NAMES,
    LIGHTS,
    Scene,
    caption,
    draw_scene,
    hue_name,
    position_words,
)

IMAGE_SIZE = 64
MAP_SIZE = 16
CAPTION_LENGTH = 32
POSITIONS: tuple[str, ...] = ("top", "middle", "bottom", "left", "centre", "right")
_WORDS = (
    "a", "and", "in", "land", "under", "sky", "small", "large", *POSITIONS, *HUE_NAMES,
    *CONTENTS, *LIGHTS, *HEIGHTS, *CLUTTERS,
)  # fmt: skip
_FIRST_WORD = 1
_START, _END = _FIRST_WORD + len(_WORDS), _FIRST_WORD + len(_WORDS) + 1
VOCABULARY_SIZE = _END + 1
_WORD_IDS = {word: _FIRST_WORD + number for number, word in enumerate(_WORDS)}


@dataclass(frozen=True)
class SceneSet:
    """Scenes as arrays.

    `images` (n, 64, 64, 3) uint8; `silhouettes` (n, 16, 16) whether an object is there; `captions`
    (n, 32) word ids; `contents` (n, 20), `hues` (n, 6) and `positions` (n, 6) whether an object of
    the content or colour, or at the position, is shown.
    """

    images: NDArray[np.uint8]
    silhouettes: NDArray[np.bool_]
    captions: NDArray[np.int64]
    contents: NDArray[np.bool_]
    hues: NDArray[np.bool_]
    positions: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.images)


def tokenize(text: str) -> NDArray[np.int64]:
    """Return the word ids of a caption between start and end token, padded with 0.

    The end token has the largest id: open_clip's text tower reads the embedding at that position.
    """
    tokens = [_START, *(_WORD_IDS[word] for word in text.split())][: CAPTION_LENGTH - 1]
    ids = np.zeros(CAPTION_LENGTH, dtype=np.int64)
    ids[: len(tokens) + 1] = [*tokens, _END]
    return ids


def make_scenes(n_scenes: int, seed: int, stream: str) -> SceneSet:
    """Draw and render `n_scenes` scenes of the stream `stream`."""
    generator = numpy_generator(seed, "backbone_scenes", stream)
    scenes = [draw_scene(generator) for _ in range(n_scenes)]
    images = np.empty((n_scenes, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    silhouettes = np.empty((n_scenes, MAP_SIZE, MAP_SIZE), dtype=np.bool_)
    for number, scene in enumerate(progress(scenes, f"scenes ({stream})")):
        images[number] = render_scene(scene, IMAGE_SIZE)
        silhouettes[number] = content_map(scene, MAP_SIZE) > 0
    return SceneSet(
        images=images,
        silhouettes=silhouettes,
        captions=np.stack([tokenize(caption(scene)) for scene in scenes]),
        contents=_shown(CONTENTS, [[o.content for o in scene.objects] for scene in scenes]),
        hues=_shown(HUE_NAMES, [[hue_name(o.hue) for o in scene.objects] for scene in scenes]),
        positions=_shown(POSITIONS, [_positions(scene) for scene in scenes]),
    )


def _positions(scene: Scene) -> list[str]:
    return [word for item in scene.objects for word in position_words(item)]


def _shown(names: tuple[str, ...], shown: list[list[str]]) -> NDArray[np.bool_]:
    return np.array([[name in one for name in names] for one in shown])


def as_images(pixels: NDArray[np.uint8]) -> Tensor:
    """Convert (n, side, side, 3) uint8 pixels to (n, 3, side, side) float32 in [0, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() / 255


def random_batches(
    n_examples: int, batch: int, n_steps: int, generator: torch.Generator
) -> list[Int[Tensor, "batch"]]:
    """Return `n_steps` batches of example numbers from consecutive shuffled epochs."""
    per_epoch = n_examples // batch
    order: list[Tensor] = []
    while len(order) < n_steps:
        shuffled = torch.randperm(n_examples, generator=generator)
        order += list(torch.split(shuffled[: per_epoch * batch], batch))
    return order[:n_steps]
