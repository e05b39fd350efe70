"""The oracle `place_only`: a scene's place without its objects, which no decoder may know."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from brainit.core.errors import PipelineError
from brainit.simulation.scene_drawing import render_scene
from brainit.simulation.scenes import Scene


def empty_places(
    scenes: Mapping[int, Scene], images: NDArray[np.int64], side: int
) -> NDArray[np.uint8]:
    """Return the scenes of `images` (images, side, side, 3), drawn without objects.

    Raises `PipelineError` where an image has no scene.
    """
    missing = sorted(set(images.tolist()) - set(scenes))
    if missing:
        raise PipelineError(
            "scenes of the simulation",
            "a scene for each test image",
            f"none for {missing}",
            "delete the folder of the simulation and rerun simulate_nsd",
            code="missing-data",
        )
    bare = [replace(scenes[int(nsd_id)], objects=()) for nsd_id in images]
    return np.stack([render_scene(scene, side) for scene in bare])
