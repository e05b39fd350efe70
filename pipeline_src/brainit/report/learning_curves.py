"""Learning curves of everything that was trained, one panel per stage."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from brainit.core.artifacts import read_table
from brainit.report.style import COLOURS, new_figure, save_figure

_VALIDATION = ("val_loss", "val_median_r")


def draw_learning_curves(histories: Mapping[str, Path], path: Path, simulated: bool) -> None:
    """Draw `histories`, named "<model>/<stage>": training loss and what validation measures."""
    stages: dict[str, list[tuple[str, pd.DataFrame]]] = {}
    for name, file in histories.items():
        model, _, stage = name.rpartition("/")
        stages.setdefault(stage, []).append((model, read_table(file, ("epoch",), "the training")))
    figure, axes = new_figure(1, max(len(stages), 1), 3.4 * max(len(stages), 1), 3.0)
    for ax, (stage, found) in zip(axes, stages.items(), strict=False):
        names: set[str] = set()
        for number, (model, table) in enumerate(found):
            colour = COLOURS[number % len(COLOURS)]
            column = next((c for c in _VALIDATION if _is_known(table, c)), "train_loss")
            names.add(column)
            if column == "val_loss" and _is_known(table, "train_loss"):
                ax.plot(table["epoch"], table["train_loss"], ":", color=colour, linewidth=1)
            if _is_known(table, column):
                ax.plot(table["epoch"], table[column], "-", color=colour, label=model)
        dotted = " (dotted: train_loss)" if "val_loss" in names else ""
        ax.set(title=stage, xlabel="epoch", ylabel=" | ".join(sorted(names)) + dotted)
        ax.legend()
    save_figure(figure, path, "Learning curves", simulated)


def _is_known(table: pd.DataFrame, column: str) -> bool:
    return column in table and bool(np.isfinite(table[column].to_numpy(dtype=np.float64)).any())
