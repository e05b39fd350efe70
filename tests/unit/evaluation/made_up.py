"""Made-up results of runs, as tables read them."""

from pathlib import Path

import numpy as np
import pandas as pd

from brainit.evaluation.metrics.names import SUMMARY_COLUMNS
from brainit.evaluation.tables.records import Results
from brainit.evaluation.tables.run_scores import ImageScores, Summaries


def write_summary(path: Path, means: dict[str, float]) -> Path:
    rows = [(m, v, v - 0.1, v + 0.1, 100, "higher", 0.5, np.nan, np.nan) for m, v in means.items()]
    pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS)).to_csv(path, index=False)
    return path


def write_images(path: Path, columns: dict[str, list[float]]) -> Path:
    length = len(next(iter(columns.values())))
    pd.DataFrame({"nsd_id": np.arange(length) + 70, **columns}).to_csv(path, index=False)
    return path


def results_of(
    folder: Path, scores: dict[str, dict[str, list[float]]], n_trials: dict[tuple[str, str], int]
) -> Results:
    """Write the per-image tables and summaries of all runs and read them as the step does."""
    images, summaries = {}, {}
    for number, (name, columns) in enumerate(scores.items()):
        images[name] = write_images(folder / f"{number}.csv", columns)
        means = {metric: float(np.mean(values)) for metric, values in columns.items()}
        summaries[name] = write_summary(folder / f"{number}_summary.csv", means)
    return Results(ImageScores(images), Summaries(summaries), n_trials)
