"""Montage over subjects: seen images above their reconstructions, from the low-level one on."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainit.data.pixels import PixelStore
from brainit.data.recons import Recons
from brainit.report.ranking import KIND_LABELS
from brainit.report.style import new_figure, save_figure

N_SHOWN = 10


def labelled_images(recons: Recons) -> dict[str, NDArray[np.uint8]]:
    """Return the images of a run by label, final ones last: low-level, semantic, fused, refined.

    Without a refiner the fused images are the final ones, and none are called refined.
    """
    found = {KIND_LABELS[kind]: images for kind, images in recons.images.items()}
    if recons.unrefined is not None:
        found |= {KIND_LABELS["fused"]: recons.unrefined, "refined": recons.images["fused"]}
    return found


def draw_montage(recons: Mapping[str, Recons], stimuli: Path, path: Path, simulated: bool) -> None:
    """Draw the first test images that all runs share; `recons` by "subject/run"."""
    shared = sorted(set.intersection(*(set(found.nsd_id.tolist()) for found in recons.values())))
    shown = np.array(shared[:N_SHOWN], dtype=np.int64)
    seen = PixelStore(stimuli).pixels(shown)
    lines: list[tuple[str, NDArray[np.uint8]]] = [("seen", seen)]
    for name, found in recons.items():
        row = {int(nsd_id): number for number, nsd_id in enumerate(found.nsd_id)}
        rows = [row[int(nsd_id)] for nsd_id in shown]
        subject = name.split("/")[0]
        named = labelled_images(found)
        lines += [(f"{subject}\n{label}", images[rows]) for label, images in named.items()]
    n_columns = max(len(shown), 1)
    figure, axes = new_figure(len(lines), n_columns, 1.0 * n_columns + 0.9, 1.02 * len(lines) + 0.5)
    for number, ax in enumerate(axes):
        line, column = divmod(number, n_columns)
        label, images = lines[line]
        ax.axis("off")
        if column < len(images):
            ax.imshow(images[column], interpolation="nearest")
        if column == 0:
            ax.text(-0.12, 0.5, label, transform=ax.transAxes, ha="right", va="center", fontsize=8)
    runs = sorted({name.split("/")[1] for name in recons})
    save_figure(figure, path, f"First shared test images, run {', '.join(runs)}", simulated)
