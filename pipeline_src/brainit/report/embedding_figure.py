"""Voxel embeddings in two dimensions: function, and how subjects share it (section 3.1)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from brainit.core.streams import numpy_generator
from brainit.report.style import new_figure, save_figure

N_DOTS = 1000
_ITERATIONS = 400

Colouring = tuple[NDArray[np.int64], Sequence[str]]
"""The group of each voxel, as its place among the names of all groups."""


def draw_embedding_map(
    embedding: NDArray[np.floating],
    groups: Colouring,
    subjects: Colouring,
    seed: int,
    path: Path,
    simulated: bool,
) -> None:
    """Draw a t-SNE of up to 1,000 voxels drawn at random, twice.

    `groups` colour the dots on the left, `subjects` those on the right.
    """
    generator = numpy_generator(seed, "embedding_map")
    n_dots = min(N_DOTS, len(embedding))
    rows = np.sort(generator.permutation(len(embedding))[:n_dots])
    perplexity = min(30.0, (n_dots - 1) / 3)
    tsne = TSNE(
        perplexity=perplexity, max_iter=_ITERATIONS, init="pca", random_state=seed, n_jobs=1
    )
    place = tsne.fit_transform(np.asarray(embedding[rows], dtype=np.float32))
    figure, (left, right) = new_figure(1, 2, 10.4, 4.4)
    for ax, (group, names) in ((left, groups), (right, subjects)):
        _scatter(ax, place, group[rows], names)
    title = f"Voxel embeddings, t-SNE of {n_dots:,} responsive voxels"
    save_figure(figure, path, title, simulated)


def _scatter(
    ax: Axes, place: NDArray[np.float32], group: NDArray[np.int64], names: Sequence[str]
) -> None:
    colours = colormaps["tab10" if len(names) <= 10 else "tab20"]
    for number, name in enumerate(names):
        x, y = place[group == number].T
        ax.plot(x, y, ".", markersize=3, color=colours(number % colours.N), label=name)
    ax.set(xticks=[], yticks=[])
    ax.legend(markerscale=3, loc="center left", bbox_to_anchor=(1.0, 0.5))
