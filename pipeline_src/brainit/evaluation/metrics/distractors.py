"""Identification among chosen distractors: images that look alike, and scenes at the same place.

Two-way identification against all other images is mostly won by the background. These metrics stand
beside the paper's and ask for more; they are ours. The score of a reconstruction is the percentage
of its distractors whose features correlate with it less than those of its own target do. Chance is
near 50 % and, for similar images, measured by permutations.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from brainit.core.progress import progress
from brainit.data.images import resize_images
from brainit.evaluation.metrics.two_way import (
    correlation_matrix,
    lower_than_target,
    row_correlations,
)
from brainit.simulation.scene_drawing import render_scene
from brainit.simulation.scenes import Scene

THUMBNAIL = 8
"""Side in pixels of the thumbnails by which images look alike."""


def similar_images(
    targets: Float[Tensor, "images rgb height width"], share: float
) -> Int[Tensor, "images distractors"]:
    """Return for each image the others that look most like it, nearest first.

    Images look alike by the correlation of their RGB thumbnails (means over 8 x 8 cells). Chosen
    are `share` of the images, rounded down, at least one. Ties go to the first image.
    """
    thumbnails = F.adaptive_avg_pool2d(targets.double(), THUMBNAIL).flatten(1)
    alike = correlation_matrix(thumbnails, thumbnails).double()
    alike.fill_diagonal_(-torch.inf)
    n_chosen = min(max(1, int(share * len(targets))), len(targets) - 1)
    order = alike.sort(dim=1, descending=True, stable=True).indices
    return order[:, :n_chosen]


def identification_among(
    recons: Float[Tensor, "images features"],
    targets: Float[Tensor, "images features"],
    matrix: Float[Tensor, "images images"],
    distractors: Int[Tensor, "images distractors"],
) -> Float[Tensor, "images"]:
    """Return the percentage of each image's distractors that correlate less than its own target.

    `matrix` is the `correlation_matrix` of both; `distractors` are rows of `targets`.
    """
    is_lower = lower_than_target(recons, targets, matrix)
    return 100.0 * is_lower.gather(1, distractors).double().mean(dim=1)


def permuted_identification_among(
    matrix: Float[Tensor, "recons targets"],
    distractors: Int[Tensor, "targets distractors"],
    n_permutations: int,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the mean score of each of `n_permutations` pairings of reconstructions and targets.

    A target keeps its distractors; fixed points are kept.
    """
    scores = np.stack(
        [
            (matrix[:, others] < matrix[:, [target]]).double().mean(dim=1).cpu().numpy()
            for target, others in enumerate(distractors)
        ],
        axis=1,
    )
    rows = np.arange(len(scores))
    pairings = (generator.permutation(len(scores)) for _ in range(n_permutations))
    return 100.0 * np.array([scores[rows, pairing].mean() for pairing in pairings])


def same_place_scores(
    recons: Float[Tensor, "images features"], true: Float[Tensor, "images shown features"]
) -> NDArray[np.float64]:
    """Return each reconstruction's identification among other objects at the place of its scene.

    `true` are `same_place_features` by the network that gave the reconstructions' features.
    """
    scores = np.empty(len(recons))
    for number, features in enumerate(true):
        correlation = row_correlations(recons[[number]].expand_as(features), features).numpy()
        scores[number] = 100.0 * np.mean(correlation[1:] < correlation[0])
    return scores


@torch.inference_mode()
def same_place_features(
    scenes: Sequence[Scene],
    network: Callable[[Tensor], dict[str, Tensor]],
    n_distractors: int,
    sizes: tuple[int, int],
    device: torch.device,
    generator: np.random.Generator,
) -> Float[Tensor, "images shown features"]:
    """Return the features of each scene and of its distractors at the network's last tap.

    A distractor is the scene with the objects of another test scene, drawn without replacement;
    with fewer other scenes than `n_distractors`, each is one. Scene and distractors are rendered
    alike, at the first of `sizes` pixels a side; the second is `evaluation.eval_size`.
    """
    image_size, eval_size = sizes
    n_others, found = min(n_distractors, len(scenes) - 1), []
    for number, scene in enumerate(progress(scenes, "scenes at the same place", unit="image")):
        others = generator.choice(len(scenes) - 1, size=n_others, replace=False)
        others += others >= number
        shown = [scene, *(replace(scene, objects=scenes[other].objects) for other in others)]
        pixels = np.stack([render_scene(one, image_size) for one in shown])
        images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).float().div_(255.0)
        taps = network(resize_images(images, eval_size).to(device))
        found.append(list(taps.values())[-1].flatten(1).cpu())
    return torch.stack(found)
