"""Area under the ROC curve of contents, against scikit-learn, loops and DeLong's variance."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from brainit.core.errors import PipelineError
from brainit.evaluation.metrics.presence import (
    ReadsContents,
    object_area_per_image,
    object_areas,
    shown_contents,
)
from brainit.features.residual_classifier import MetricNetwork
from brainit.simulation.scenes import CONTENTS, draw_scene


def made_up(n_images: int, seed: int, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shown = rng.random((n_images, 4)) < (0.5, 0.3, 0.1, 0.0)
    outputs = np.round(rng.normal(size=shown.shape) + shift * shown, 1)  # with ties
    return outputs, shown


def test_areas_equal_scikit_learn() -> None:
    outputs, shown = made_up(60, 0)
    found = object_areas(outputs, shown)
    expected = [roc_auc_score(shown[:, c], outputs[:, c]) for c in range(3)]
    assert found[:3] == pytest.approx(expected) and np.isnan(found[3])


def test_the_mean_over_images_is_the_mean_area() -> None:
    outputs, shown = made_up(60, 1)
    values = object_area_per_image(outputs, shown)
    areas = [roc_auc_score(shown[:, c], outputs[:, c]) for c in range(3)]
    assert values.mean() == pytest.approx(np.mean(areas))
    assert np.isnan(object_area_per_image(outputs, np.zeros_like(shown))).all()


def test_its_variance_is_delong_s() -> None:
    outputs, shown = made_up(80, 2)
    one, has = outputs[:, :1], shown[:, :1]
    with_it, without = one[has], one[~has]
    order = (with_it[:, None] > without) + 0.5 * (with_it[:, None] == without)
    v10, v01 = order.mean(axis=1), order.mean(axis=0)
    delong = v10.var() / len(v10) + v01.var() / len(v01)
    values = object_area_per_image(one, has)
    assert values.var() / len(values) == pytest.approx(delong)


def test_resampling_it_resamples_the_area() -> None:
    """The interval over images is that of areas computed anew on each resample."""
    outputs, shown = made_up(150, 3)
    values = object_area_per_image(outputs[:, :2], shown[:, :2])
    rng = np.random.default_rng(0)
    rows = [rng.integers(150, size=150) for _ in range(400)]
    quick = [values[row].mean() for row in rows]
    anew = [
        np.mean([roc_auc_score(shown[row, c], outputs[row, c]) for c in range(2)]) for row in rows
    ]
    assert np.corrcoef(quick, anew)[0, 1] > 0.99
    np.testing.assert_allclose(
        np.percentile(quick, (2.5, 97.5)), np.percentile(anew, (2.5, 97.5)), atol=0.01
    )


def test_shown_contents_are_those_of_the_scene() -> None:
    rng = np.random.default_rng(0)
    scenes = [draw_scene(rng) for _ in range(20)]
    shown = shown_contents(scenes, CONTENTS)
    for scene, row in zip(scenes, shown, strict=True):
        assert {CONTENTS[c] for c in np.flatnonzero(row)} == {o.content for o in scene.objects}
    absent = scenes[0].objects[0].content
    with pytest.raises(PipelineError) as error:
        shown_contents(scenes, [content for content in CONTENTS if content != absent])
    assert error.value.code == "inconsistent-inputs" and absent in error.value.expected


def test_the_metric_network_says_which_outputs_are_contents() -> None:
    network = MetricNetwork(widths=(4, 8), n_outputs=5, image_size=16, contents=("a", "b"))
    assert isinstance(network, ReadsContents) and network.contents == ("a", "b")
    features = torch.randn(3, 8)
    expected = features @ network.classifier.weight.T[:, :2] + network.classifier.bias[:2]
    torch.testing.assert_close(network.content_outputs(features), expected)
