"""Draw the learning curves of every model that was trained, a panel per stage."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from brainit.core.artifacts import read_table
from brainit.report.style import COLOURS, new_figure, save_figure

_VALIDATION = ("val_loss", "val_median_r")
_PANELS_PER_ROW = 4


def draw_learning_curves(histories: Mapping[str, Path], path: Path, simulated: bool) -> None:
    """Draw `histories`, named "<model>/<stage>", a panel per stage and measured quantity.

    Solid lines are the validation measure, or the training loss without validation; dotted lines
    are the training loss beside a validation loss.
    """
    panels: dict[tuple[str, str], list[tuple[str, pd.DataFrame]]] = {}
    for name, file in histories.items():
        model, _, stage = name.rpartition("/")
        table = read_table(file, ("epoch", "train_loss"), "the training")
        column = next((c for c in _VALIDATION if _is_known(table, c)), "train_loss")
        panels.setdefault((stage, column), []).append((model, table))
    n_columns = min(max(len(panels), 1), _PANELS_PER_ROW)
    n_rows = -(-max(len(panels), 1) // n_columns)
    figure, axes = new_figure(n_rows, n_columns, 3.1 * n_columns, 2.7 * n_rows)
    for ax in axes[len(panels) :]:
        ax.remove()
    models = list(dict.fromkeys(name.rpartition("/")[0] for name in histories))
    for ax, ((stage, column), histories_of_panel) in zip(axes, panels.items(), strict=False):
        for model, table in histories_of_panel:
            colour = COLOURS[models.index(model) % len(COLOURS)]
            if column == "val_loss":
                ax.plot(table["epoch"], table["train_loss"], ":", color=colour, linewidth=1)
            marker = "o" if len(table) == 1 else ""
            ax.plot(table["epoch"], table[column], "-", marker=marker, color=colour, label=model)
        dotted = " (dotted: train)" if column == "val_loss" else ""
        ax.set(title=stage, xlabel="epoch", ylabel=column + dotted)
        ax.locator_params(axis="x", integer=True)
        if all(len(table) == 1 for _, table in histories_of_panel):
            ax.set_xlim(0, 2)
        ax.legend()
    save_figure(figure, path, "Learning curves", simulated)


def _is_known(table: pd.DataFrame, column: str) -> bool:
    return column in table and bool(np.isfinite(table[column].to_numpy(dtype=np.float64)).any())
