"""Presence of objects in reconstructions, read by a metric network: area under the ROC curve.

Ours, for a simulation, whose contents are known. The area is that of Hanley and McNeil (1982): the
share of pairs of an image with and one without a content that the network's output orders rightly.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.errors import PipelineError
from brainit.simulation.scenes import Scene


@runtime_checkable
class ReadsContents(Protocol):
    """A metric network that says which of `contents` an image shows, by its last tap."""

    contents: tuple[str, ...]

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Return the features at each tap."""
        ...

    def content_outputs(self, features: Tensor) -> Tensor:
        """Return (images, contents) logits of features at the last tap."""
        ...


def shown_contents(scenes: Sequence[Scene], contents: Sequence[str]) -> NDArray[np.bool_]:
    """Return whether each scene shows each of `contents`, (scenes, contents).

    Raises `PipelineError` if a scene shows another content: the metric network cannot read it.
    """
    shown = [{item.content for item in scene.objects} for scene in scenes]
    if unknown := sorted(set().union(*shown) - set(contents)):
        raise PipelineError(
            "the metric network",
            f"outputs for the contents of the scenes, {', '.join(unknown)} among them",
            f"outputs for {', '.join(contents)}",
            "train the networks of features.metrics on these scenes (make backbones)",
            code="inconsistent-inputs",
        )
    return np.array([[content in one for content in contents] for one in shown])


def object_areas(outputs: NDArray[np.float64], shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the area under the ROC curve of each content, in [0, 1]; .5 is chance.

    `outputs` and `shown` are (images, contents). Ties count half. NaN for a content that all images
    show or none does.
    """
    ranks = pd.DataFrame(outputs).rank().to_numpy()  # SciPy's takes a second to import
    n_with = shown.sum(axis=0)
    n_pairs = n_with * (len(shown) - n_with)
    areas = np.full(shown.shape[1], np.nan)
    n_right = (ranks * shown).sum(axis=0) - n_with * (n_with + 1) / 2
    np.divide(n_right, n_pairs, out=areas, where=n_pairs > 0)
    return areas


def object_area_per_image(
    outputs: NDArray[np.float64], shown: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return a value per image whose mean is the mean of `object_areas` over contents.

    For each content with both classes, an image's share of rightly ordered pairs (its placement)
    minus the area, times images / images of its class, plus the area. These pseudo-values are
    linear in the images, so that resampling them resamples the area, and their variance is that of
    DeLong et al. (1988). A single value may lie outside [0, 1]. All NaN if no content has both
    classes.
    """
    n_images = len(shown)
    areas = object_areas(outputs, shown)
    known = np.flatnonzero(np.isfinite(areas))
    if not len(known):
        return np.full(n_images, np.nan)
    values = np.empty((n_images, len(known)))
    for column, content in enumerate(known):
        has = shown[:, content]
        for is_with in (True, False):
            own, others = outputs[has == is_with, content], outputs[has != is_with, content]
            placement = _share_below(own, others)
            placement = placement if is_with else 1.0 - placement
            weight = n_images / len(own)
            values[has == is_with, column] = areas[content] + weight * (placement - areas[content])
    return np.asarray(values.mean(axis=1))


def _share_below(values: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each value the share of `others` below it; equal ones count half."""
    in_order = np.sort(others)
    below = np.searchsorted(in_order, values, side="left")
    not_above = np.searchsorted(in_order, values, side="right")
    return np.asarray((below + not_above) / (2 * len(others)))
