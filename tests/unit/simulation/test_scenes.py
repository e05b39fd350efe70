"""Scenes are fixed by their description, show what the caption says, and are not near copies."""

import json
from dataclasses import replace

import numpy as np
import pytest

from brainit.core.streams import numpy_generator
from brainit.simulation.figures import DRAWERS
from brainit.simulation.scene_drawing import content_map, render_scene
from brainit.simulation.scenes import (
    CONTENTS,
    KINDS,
    N_PLACE_VALUES,
    USUAL_HUES,
    Scene,
    caption,
    draw_scene,
    hue_name,
    place_values,
    place_words,
    scene_from_dict,
    scene_to_dict,
)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    generator = numpy_generator(0, "test_scenes")
    return [draw_scene(generator) for _ in range(160)]


def test_json_round_trip_gives_the_same_pixels(scenes: list[Scene]) -> None:
    for scene in scenes[:10]:
        copy = scene_from_dict(json.loads(json.dumps(scene_to_dict(scene))))
        assert copy == scene
        assert np.array_equal(render_scene(copy, 48), render_scene(scene, 48))


def test_caption_names_every_object_and_the_place(scenes: list[Scene]) -> None:
    for scene in scenes:
        objects, _, place = caption(scene).partition(" in ")
        described = objects.split(" and ")
        assert len(described) == len(scene.objects)
        for text, item in zip(described, scene.objects, strict=True):
            side = "left" if item.x < 0.45 else "right" if item.x > 0.55 else "centre"
            assert text.split()[2:4] == [hue_name(item.hue), item.content]
            assert text.split()[-1] == side
        assert set(place_words(scene)) <= set(place.split())


def test_place_words_by_thirds_and_sixths(scenes: list[Scene]) -> None:
    scene = replace(scenes[0], light=0.32, sky=0.98, ground=0.34, horizon=0.74, clutter=0.99)
    assert place_words(scene) == ("dark", "red", "green", "low", "steep")
    scene = replace(scenes[0], light=0.34, sky=0.2, ground=0.7, horizon=0.55, clutter=0.0)
    assert place_words(scene) == ("dim", "yellow", "blue", "level", "flat")


def test_place_values_do_not_depend_on_objects(scenes: list[Scene]) -> None:
    for scene in scenes:
        values = place_values(scene)
        assert len(values) == N_PLACE_VALUES and max(map(abs, values)) <= 1
        assert place_values(replace(scene, objects=())) == values
    assert len({place_values(scene) for scene in scenes}) == len(scenes)


def test_every_content_has_a_kind_a_figure_and_a_hue() -> None:
    assert len(CONTENTS) == len(set(CONTENTS)) == 20 and len(KINDS) == 6
    assert set(DRAWERS) == set(USUAL_HUES) == set(CONTENTS)


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
    front = replace(scene.objects[0], content="clock", size=0.9, x=0.5, y=0.5)
    both = content_map(replace(scene, objects=(scene.objects[0], front)), 64)
    assert both[32, 32] == CONTENTS.index("clock") + 1


def test_all_contents_and_counts_occur(scenes: list[Scene]) -> None:
    assert {item.content for scene in scenes for item in scene.objects} == set(CONTENTS)
    assert {len(scene.objects) for scene in scenes} == {1, 2}


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
