"""An oracle decoder: answer each test image with the training image most like it.

Its score shows how much better reconstruction is than picking a similar training image.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainit.core.device import run_device
from brainit.core.progress import progress
from brainit.core.settings import Settings
from brainit.data.images import ImageStore
from brainit.evaluation.checks.verdict import Check, for_comparison
from brainit.evaluation.metrics.features import load_metric_networks, tap_features
from brainit.evaluation.metrics.names import metric_name
from brainit.evaluation.metrics.two_way import two_way_scores
from brainit.simulation.scene_drawing import content_map
from brainit.simulation.scenes import CONTENTS, HUE_NAMES, Scene, hue_name

_CELLS = 16


def scene_labels(scene: Scene) -> NDArray[np.uint8]:
    """Return the labels of 16 x 16 cells: an object's content, or the colour of sky or ground."""
    labels = content_map(scene, _CELLS)
    first = len(CONTENTS) + 1
    sky = first + HUE_NAMES.index(hue_name(scene.sky))
    ground = first + len(HUE_NAMES) + HUE_NAMES.index(hue_name(scene.ground))
    is_ground = (np.arange(_CELLS) + 0.5) / _CELLS > scene.horizon
    behind = np.where(is_ground, ground, sky).astype(np.uint8)[:, None]
    return np.where(labels == 0, behind, labels).ravel()


def nearest_scenes(
    test: NDArray[np.int64], training: NDArray[np.int64], scenes: Mapping[int, Scene]
) -> NDArray[np.int64]:
    """Return for each test image the nsd_id of the training image with most cells in common.

    Ties go to the first training image.
    """
    known = {
        int(nsd_id): scene_labels(scenes[int(nsd_id)])
        for nsd_id in progress([*training, *test], "scene contents", unit="scene")
    }
    seen = np.stack([known[int(nsd_id)] for nsd_id in training])
    in_common = [(seen == known[int(nsd_id)]).sum(axis=1) for nsd_id in test]
    return training[np.array([counts.argmax() for counts in in_common])]


def compare_with_nearest_scene(
    test: Mapping[str, NDArray[np.int64]],
    training: Mapping[str, NDArray[np.int64]],
    scenes: Mapping[int, Scene],
    stimuli: ImageStore,
    weights_dir: Path | None,
    settings: Settings,
) -> list[Check]:
    """Return the two-way identification of the nearest training scenes, mean over subjects.

    `test` and `training` are the nsd_ids of each subject's images.
    """
    device, size = run_device(settings), settings.evaluation.eval_size
    networks = load_metric_networks(settings.features.metrics, weights_dir, device)
    scores: dict[str, list[float]] = {}
    for subject, test_ids in test.items():
        answers = stimuli.images(nearest_scenes(test_ids, training[subject], scenes))
        for network_name, network in networks.items():
            answer_taps = tap_features(network, answers, size, device)
            sought = tap_features(network, stimuli.images(test_ids), size, device)
            for tap in answer_taps:
                metric = metric_name(network_name, tap, "two_way")
                score = float(two_way_scores(answer_taps[tap], sought[tap]).mean())
                scores.setdefault(metric, []).append(score)
    text = (
        "two-way identification, percent, if each test image is answered with the training image "
        "whose true content is nearest"
    )
    return [
        for_comparison(f"nearest_training_image_{metric}", float(np.mean(values)), text)
        for metric, values in scores.items()
    ]
