"""A decoder that knows the truth: answer each test image with the training image most like it.

Its score says how far reconstruction goes beyond finding something similar among what was seen.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from brainit.core.progress import progress
from brainit.simulation.scene_drawing import content_map
from brainit.simulation.scenes import CONTENTS, PLACES, Scene

_CELLS = 16


def scene_labels(scene: Scene) -> NDArray[np.uint8]:
    """Return what is where: 16 x 16 cells, each an object's content or the place."""
    labels = content_map(scene, _CELLS)
    place = len(CONTENTS) + 1 + PLACES.index(scene.place)
    return np.where(labels == 0, np.uint8(place), labels).ravel()


def nearest_scenes(
    test: NDArray[np.int64], training: NDArray[np.int64], scenes: Mapping[int, Scene]
) -> NDArray[np.int64]:
    """Return for each test image the nsd_id of the training image with most cells in common.

    Of equally near images the first counts.
    """
    known = {
        int(nsd_id): scene_labels(scenes[int(nsd_id)])
        for nsd_id in progress([*training, *test], "scene contents", unit="scene")
    }
    seen = np.stack([known[int(nsd_id)] for nsd_id in training])
    in_common = [(seen == known[int(nsd_id)]).sum(axis=1) for nsd_id in test]
    return training[np.array([counts.argmax() for counts in in_common])]
