"""Measure the difficulty of the simulated stimuli: similarity of test and training scenes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainit.simulation.experiment import Design
from brainit.simulation.scenes import Scene, place_words

_SMALL = 8


def thumbnails(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return standardised 8 x 8 averages (images, 192) of (images, side, side, 3) pixels."""
    n_images, side = pixels.shape[:2]
    block = side // _SMALL
    cut = pixels[:, : block * _SMALL, : block * _SMALL].astype(np.float64)
    small = cut.reshape(n_images, _SMALL, block, _SMALL, block, 3).mean(axis=(2, 4))
    flat = small.reshape(n_images, -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


_N_TEXTURES = 3


def _place(scene: Scene) -> tuple[str, ...]:
    """Return what makes a place the same: the words for it and the direction of its texture."""
    direction = int(scene.texture_angle / np.pi * _N_TEXTURES) % _N_TEXTURES
    return (*place_words(scene), str(direction))


def difficulty(design: Design, scenes: list[Scene], pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """Return statistics of each test scene's most similar training scene of any subject."""
    small = thumbnails(pixels)
    unshared = design.own.ravel()
    nearest = (small[design.shared] @ small[unshared].T).max(axis=1)
    contents = [tuple(sorted(item.content for item in scene.objects)) for scene in scenes]
    training = {(contents[i], _place(scenes[i])) for i in unshared}
    known = [(contents[i], _place(scenes[i])) in training for i in design.shared]
    return {
        "n_images": design.n_images,
        "n_test": len(design.shared),
        "nearest_training_thumbnail_r_median": round(float(np.median(nearest)), 4),
        "nearest_training_thumbnail_r_max": round(float(nearest.max()), 4),
        "share_with_same_contents_and_place_in_training": round(float(np.mean(known)), 4),
    }
