"""Best, median and worst reconstructions of a run, by the rank of a stated score (figure S9)."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainit.core.artifacts import read_table
from brainit.core.errors import PipelineError
from brainit.data.pixels import PixelStore
from brainit.data.recons import Recons
from brainit.report.ranking import (
    best_median_worst,
    ranked,
    ranking_metric,
    run_label,
)
from brainit.report.style import new_figure, save_figure
from brainit.report.subject_montage import labelled_images

N_EACH = 4


def draw_ranked_montage(
    name: str, recons: Recons, metrics: Path, stimuli: Path, path: Path, simulated: bool
) -> None:
    """Draw four images each; `name` is subject/run, `metrics` the per-image scores of its images.

    Raises `PipelineError` where the scores are of other images.
    """
    table = read_table(metrics, ("nsd_id",), "evaluate")
    if not np.array_equal(table["nsd_id"].to_numpy(), recons.nsd_id):
        raise PipelineError(
            metrics, f"scores of the {len(recons.nsd_id)} images of {name}", "other images",
            "rerun evaluate",
        )  # fmt: skip
    metric = ranking_metric([str(column) for column in table if column != "nsd_id"])
    values = table[metric].to_numpy(dtype=np.float64)
    groups = best_median_worst(ranked(metric, values), N_EACH)
    seen = PixelStore(stimuli).pixels(recons.nsd_id)
    lines: list[tuple[str, NDArray[np.uint8]]] = [("seen", seen)]
    lines += labelled_images(recons).items()
    columns = [row for rows in groups.values() for row in rows]
    n_columns = max(len(columns), 1)
    figure, axes = new_figure(
        len(lines), n_columns, 0.95 * n_columns + 0.9, 0.97 * len(lines) + 0.6
    )
    for number, ax in enumerate(axes):
        line, column = divmod(number, n_columns)
        ax.axis("off")
        label, images = lines[line]
        if column == 0:
            ax.text(-0.12, 0.5, label, transform=ax.transAxes, ha="right", va="center", fontsize=8)
        if column >= len(columns):
            continue
        ax.imshow(images[columns[column]], interpolation="nearest")
        if line == 0:
            group = list(groups)[column // max(len(groups["best"]), 1)]
            ax.set_title(f"{group}\n{values[columns[column]]:.3g}", fontsize=8)
    subject, _, run = name.partition("/")
    final = list(labelled_images(recons))[-1]
    title = f"{subject}, {run_label(run)}: ranked by {metric} of the {final} images"
    save_figure(figure, path, title, simulated)
