"""Identification among similar images and among scenes at the same place, by plain loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from brainit.core.streams import numpy_generator
from brainit.evaluation.metrics.distractors import (
    identification_among,
    permuted_identification_among,
    same_place_features,
    same_place_scores,
    similar_images,
)
from brainit.evaluation.metrics.names import direction_of, is_two_way, similar_name
from brainit.evaluation.metrics.two_way import correlation_matrix
from brainit.simulation.scene_drawing import render_scene
from brainit.simulation.scenes import Scene, draw_scene

CPU = torch.device("cpu")


def features(n_images: int, seed: int) -> torch.Tensor:
    return torch.randn(n_images, 12, generator=torch.Generator().manual_seed(seed))


def test_similar_images_by_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(30, 3, 32, 32, generator=generator) + torch.rand(
        30, 3, 1, 1, generator=generator
    )
    found = similar_images(images, 0.1)
    assert found.shape == (30, 3)
    small = images.double().numpy().reshape(30, 3, 8, 4, 8, 4).mean(axis=(3, 5)).reshape(30, -1)
    for i in range(30):
        alike = {j: np.corrcoef(small[i], small[j])[0, 1] for j in range(30) if j != i}
        assert found[i].tolist() == sorted(alike, key=lambda j: -alike[j])[:3]


@pytest.mark.parametrize(
    ("n_images", "share", "n_chosen"), [(100, 0.1, 10), (5, 0.1, 1), (4, 1, 3)]
)
def test_at_least_one_and_never_the_image_itself(
    n_images: int, share: float, n_chosen: int
) -> None:
    found = similar_images(torch.rand(n_images, 3, 16, 16), share)
    assert found.shape == (n_images, n_chosen)
    assert not (found == torch.arange(n_images)[:, None]).any()


def test_identification_and_its_null_by_loops() -> None:
    recons, targets = features(9, 0), features(9, 1)
    distractors = torch.tensor([[(i + k) % 9 for k in (1, 3, 4)] for i in range(9)])
    matrix = correlation_matrix(recons, targets)
    found = identification_among(recons, targets, matrix, distractors)
    r = np.corrcoef(recons.double().numpy(), targets.double().numpy())[:9, 9:]

    def score(recon: int, target: int) -> float:
        return 100 * float(np.mean([r[recon, j] < r[recon, target] for j in distractors[target]]))

    assert found.tolist() == pytest.approx([score(i, i) for i in range(9)])
    means = permuted_identification_among(matrix, distractors, 5, numpy_generator(0, "n"))
    generator = numpy_generator(0, "n")
    expected = [np.mean([score(i, j) for i, j in enumerate(generator.permutation(9))])]
    assert means[0] == pytest.approx(expected[0]) and means.shape == (5,)


class Cells:
    """A stand-in network: means over cells."""

    def __call__(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"final": torch.nn.functional.adaptive_avg_pool2d(images, 8).flatten(1)}


def same_place(
    recons: torch.Tensor, scenes: list[Scene], n_distractors: int, side: int
) -> np.ndarray:
    options = (n_distractors, (side, side), CPU, numpy_generator(0, "s"))
    return same_place_scores(recons, same_place_features(scenes, Cells(), *options))


def test_same_place_by_loops_and_true_images_are_all_identified() -> None:
    rng = np.random.default_rng(3)
    scenes = [draw_scene(rng) for _ in range(6)]
    pixels = np.stack([render_scene(scene, 32) for scene in scenes])
    true = Cells()(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)["final"]
    found = same_place(true, scenes, 3, 32)
    assert found.tolist() == [100.0] * 6
    recons = true[torch.tensor([1, 2, 3, 4, 5, 0])] + 0.02 * features(6, 4).repeat(1, 16)
    found = same_place(recons, scenes, 3, 32)
    generator = numpy_generator(0, "s")
    for i, scene in enumerate(scenes):
        others = [s for j, s in enumerate(scenes) if j != i]
        drawn = [others[k] for k in generator.choice(5, size=3, replace=False)]
        shown = [scene, *(replace(scene, objects=other.objects) for other in drawn)]
        r = []
        for one in shown:
            image = torch.from_numpy(render_scene(one, 32).copy()).permute(2, 0, 1)[None] / 255
            r.append(np.corrcoef(Cells()(image)["final"][0].numpy(), recons[i].numpy())[0, 1])
        assert found[i] == pytest.approx(100 * np.mean([value < r[0] for value in r[1:]]))


def test_with_few_scenes_every_other_one_is_a_distractor() -> None:
    scenes = [draw_scene(np.random.default_rng(k)) for k in range(2)]
    found = same_place(features(2, 0).repeat(1, 16), scenes, 20, 16)
    assert set(found) <= {0.0, 100.0}


def test_knowing_the_place_alone_is_chance() -> None:
    """Reconstructions of the empty place: about half of the distractors are further away."""
    rng = np.random.default_rng(5)
    scenes = [draw_scene(rng) for _ in range(40)]
    empty = [render_scene(replace(scene, objects=()), 32) for scene in scenes]
    recons = Cells()(torch.from_numpy(np.stack(empty)).permute(0, 3, 1, 2) / 255)["final"]
    found = same_place(recons, scenes, 10, 32)
    assert 35 < found.mean() < 65


def test_names() -> None:
    assert similar_name("demo_resnet", "final") == "similar_final"
    assert similar_name("swav_resnet50", "avgpool") == "similar_SwAV"
    assert similar_name("other", "avgpool") == "similar_other.avgpool"
    for name in ("similar_SwAV", "similar_Eff", "similar_final", "same_place", "object_auc"):
        assert direction_of(name) == "higher" and not is_two_way(name)
