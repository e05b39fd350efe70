"""Scenes are fixed by their description, show what the caption says, and are not near copies."""

import json
from dataclasses import replace

import numpy as np
import pytest

from brainit.core.streams import numpy_generator
from brainit.simulation.scene_drawing import content_map, render_scene
from brainit.simulation.scenes import (
    CONTENTS,
    Scene,
    caption,
    draw_scene,
    scene_from_dict,
    scene_to_dict,
)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    generator = numpy_generator(0, "test_scenes")
    return [draw_scene(generator) for _ in range(120)]


def test_json_round_trip_gives_the_same_pixels(scenes: list[Scene]) -> None:
    for scene in scenes[:10]:
        copy = scene_from_dict(json.loads(json.dumps(scene_to_dict(scene))))
        assert copy == scene
        assert np.array_equal(render_scene(copy, 48), render_scene(scene, 48))


def test_caption_names_every_object_and_the_place(scenes: list[Scene]) -> None:
    for scene in scenes:
        text = caption(scene)
        assert text.endswith(scene.place)
        for item in scene.objects:
            side = "left" if item.x < 0.42 else "right" if item.x > 0.58 else "centre"
            assert f"{item.content} " in text
            assert side in text


def test_map_is_where_an_object_changes_the_picture(scenes: list[Scene]) -> None:
    for scene in scenes[:40]:
        for keep, item in enumerate(scene.objects):
            alone = replace(scene, objects=(item,))
            empty = replace(scene, objects=())
            changed = (render_scene(alone, 64) != render_scene(empty, 64)).any(axis=2)
            labelled = content_map(alone, 64) == CONTENTS.index(item.content) + 1
            union = (changed | labelled).sum()
            assert (changed & labelled).sum() / union > 0.6, (keep, item.content)


def test_later_objects_cover_earlier_ones(scenes: list[Scene]) -> None:
    scene = next(s for s in scenes if len(s.objects) == 1)
    front = replace(scene.objects[0], content="word", size=0.9, x=0.5, y=0.5)
    both = content_map(replace(scene, objects=(scene.objects[0], front)), 64)
    assert both[32, 32] == CONTENTS.index("word") + 1


def test_all_contents_and_counts_occur(scenes: list[Scene]) -> None:
    assert {item.content for scene in scenes for item in scene.objects} == set(CONTENTS)
    assert {len(scene.objects) for scene in scenes} == {1, 2, 3}


def test_objects_stay_inside(scenes: list[Scene]) -> None:
    for scene in scenes:
        for item in scene.objects:
            assert 0.4 * item.size < item.x < 1 - 0.4 * item.size
            assert 0.4 * item.size < item.y < 1 - 0.4 * item.size


def test_no_two_scenes_are_near_copies(scenes: list[Scene]) -> None:
    small = np.stack([render_scene(scene, 16) for scene in scenes]).reshape(len(scenes), -1)
    r = np.corrcoef(small.astype(float))
    np.fill_diagonal(r, 0)
    assert r.max() < 0.97
