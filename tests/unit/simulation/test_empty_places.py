"""The oracle of places draws the true place and no object."""

from dataclasses import replace

import numpy as np

from brainit.simulation.empty_places import empty_places
from brainit.simulation.scene_drawing import content_map, render_scene
from brainit.simulation.scenes import draw_scene


def test_places_are_drawn_without_objects() -> None:
    generator = np.random.default_rng(0)
    scenes = {number: draw_scene(generator) for number in range(12)}
    images = np.array([3, 7, 11])
    drawn = empty_places(scenes, images, 48)
    assert drawn.shape == (3, 48, 48, 3) and drawn.dtype == np.uint8
    for nsd_id, picture in zip(images, drawn, strict=True):
        scene = scenes[int(nsd_id)]
        full, is_object = render_scene(scene, 48), content_map(scene, 48) > 0
        assert is_object.any() and not content_map(replace(scene, objects=()), 48).any()
        assert np.abs(picture[is_object].astype(int) - full[is_object]).mean() > 5
        others = {int(nsd_id): replace(scene, objects=scenes[0].objects)}
        assert np.array_equal(empty_places(others, images[images == nsd_id], 48)[0], picture)
