"""Grids of seen and reconstructed images: the first test images, and images by rank (figure S9)."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainit.core.artifacts import read_table
from brainit.core.errors import PipelineError
from brainit.data.pixels import PixelStore
from brainit.data.recons import Recons
from brainit.report.captions import KIND_LABELS, run_label
from brainit.report.ranking import best_median_worst, ranked, ranking_metric
from brainit.report.style import new_figure, save_figure
from brainit.workflow.runs import Run

N_SHOWN = 10


def labelled_images(recons: Recons) -> dict[str, NDArray[np.uint8]]:
    """Return the images of a run by label, final images last: low-level, semantic, fused, refined.

    Without a refiner there are no refined images: the fused images are final. Images that may not
    be passed on are grey.
    """
    labelled = {KIND_LABELS[kind]: images for kind, images in recons.images.items()}
    if recons.unrefined is not None:
        labelled |= {KIND_LABELS["fused"]: recons.unrefined, "refined": recons.images["fused"]}
    return {label: recons.shown(images) for label, images in labelled.items()}


def draw_first_images(
    recons: Mapping[str, Recons], stimuli: Path, path: Path, simulated: bool
) -> None:
    """Draw the first test images that all runs share; `recons` are by "subject/run".

    Where they share none, each subject's own first images, below what it saw. A baseline has one
    row, of its final images.
    """
    store, lines = PixelStore(stimuli), list[tuple[str, NDArray[np.uint8]]]()
    shown = _first_shared(recons.values())
    if is_shared := len(shown) > 0:
        lines = [("seen", store.shown(shown)), *_lines(recons, shown)]
    else:
        for subject in dict.fromkeys(name.partition("/")[0] for name in recons):
            own = {n: recon for n, recon in recons.items() if n.partition("/")[0] == subject}
            first = _first_shared(own.values())
            lines += [(f"{subject}\nseen", store.shown(first)), *_lines(own, first)]
    n_columns = max(max(len(images) for _, images in lines), 1)
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
    runs = [run for run in runs if not Run.parse(run).is_baseline] or runs
    which = "First shared test images" if is_shared else "First test images of each subject"
    save_figure(figure, path, f"{which}, run {', '.join(runs)}", simulated)


def _first_shared(recons: Collection[Recons]) -> NDArray[np.int64]:
    """Return the first images that all have, by number."""
    shared = set.intersection(*(set(recon.nsd_id.tolist()) for recon in recons))
    return np.array(sorted(shared)[:N_SHOWN], dtype=np.int64)


def _lines(
    recons: Mapping[str, Recons], shown: NDArray[np.int64]
) -> list[tuple[str, NDArray[np.uint8]]]:
    """Return label and images `shown` of each row of the figure."""
    lines = []
    for name, recon in recons.items():
        row = {int(nsd_id): number for number, nsd_id in enumerate(recon.nsd_id)}
        rows = [row[int(nsd_id)] for nsd_id in shown]
        subject, _, run = name.partition("/")
        named = labelled_images(recon)
        if Run.parse(run).is_baseline:
            named = {Run.parse(run).method: list(named.values())[-1]}
        lines += [(f"{subject}\n{label}", images[rows]) for label, images in named.items()]
    return lines


N_EACH = 4


def draw_ranked_images(
    name: str, recons: Recons, metrics: Path, stimuli: Path, path: Path, simulated: bool
) -> None:
    """Draw the four best, median and worst images of the run `name` (subject/run).

    `metrics` is the table of scores per image; the figure's title names the metric that ranks.
    Raises `PipelineError` if the scores are of other images.
    """
    table = read_table(metrics, ("nsd_id",), "evaluate")
    if not np.array_equal(table["nsd_id"].to_numpy(), recons.nsd_id):
        expected = f"scores of the {len(recons.nsd_id)} images of {name}"
        found = f"scores of {len(table)} images, other nsd_ids or another order"
        fix = "delete the table and rerun evaluate"
        raise PipelineError(metrics, expected, found, fix, code="inconsistent-inputs")
    metric = ranking_metric([str(column) for column in table if column != "nsd_id"])
    values = table[metric].to_numpy(dtype=np.float64)
    groups = best_median_worst(ranked(metric, values), N_EACH)
    seen = PixelStore(stimuli).shown(recons.nsd_id)
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
