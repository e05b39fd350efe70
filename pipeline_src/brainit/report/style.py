"""Style and saving of every figure: one font size, few colours, equal bytes every time."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from brainit.core.files import atomic_path  # noqa: E402

COLOURS = ("#1b6ca8", "#d1495b", "#3c8d53", "#b07d2b", "#6a4c93", "#4a4a4a")
matplotlib.rc("font", size=9.0)
matplotlib.rc("axes.spines", top=False, right=False)
matplotlib.rc("axes", titlesize=9.0)
matplotlib.rc("figure", titlesize=11.0)
matplotlib.rc("legend", frameon=False, fontsize=8.0)
matplotlib.rc("savefig", dpi=120)


def new_figure(
    n_rows: int, n_columns: int, width_in: float, height_in: float
) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes, row by row; sizes in inches."""
    figure, axes = plt.subplots(
        n_rows, n_columns, figsize=(width_in, height_in), squeeze=False, layout="constrained"
    )
    return figure, list(axes.ravel())


def save_figure(figure: Figure, path: Path, title: str, simulated: bool) -> None:
    """Save as PNG with `title`, marked "(simulation)" for simulated data, and close."""
    figure.suptitle(f"{title} (simulation)" if simulated else title)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", metadata={"Software": None})
    plt.close(figure)
