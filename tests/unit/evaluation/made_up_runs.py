"""Made-up scores of runs, of every image and in the mean, as the checks read them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from brainit.core.settings import Settings
from brainit.evaluation.checks.comparisons import Comparisons
from brainit.evaluation.metrics.names import SUMMARY_COLUMNS, direction_of
from brainit.evaluation.tables.rows import TABLES, paper_table
from brainit.evaluation.tables.run_scores import ImageScores, Summaries

Scores = Mapping[str, Mapping[str, float]]
"""subject/run/kind -> metric -> mean score."""


class MadeUp:
    """Writes runs whose images score `noise` of the metric's own spread around their mean.

    Each run's noise is its own; an image is as hard in every run. The spread is 10 percent or, of
    metrics below 2, .05.
    """

    def __init__(
        self, folder: Path, scores: Scores, noise: float = 0.2, n_images: int = 100
    ) -> None:
        rng = np.random.default_rng(0)
        self.metrics: dict[str, Path] = {}
        self.summaries: dict[str, Path] = {}
        names = list(dict.fromkeys(metric for row in scores.values() for metric in row))
        hard = {metric: rng.normal(size=n_images) for metric in names}
        for run, row in scores.items():
            images = {}
            for metric, mean in row.items():
                own = rng.normal(size=n_images)
                values = hard[metric] + noise * (own - own.mean())
                images[metric] = mean + (0.05 if mean < 2 else 10.0) * (values - values.mean())
            table = pd.DataFrame({"nsd_id": np.arange(n_images) + 70, **images})
            self.metrics[run] = folder / f"{run.replace('/', '_')}.csv"
            table.to_csv(self.metrics[run], index=False)
            means = [
                (m, v, v, v, n_images, direction_of(m), 50.0 if v > 2 else 0.1, 59.0, 2.0)
                for m, v in row.items()
            ]
            self.summaries[run] = folder / f"{run.replace('/', '_')}_summary.csv"
            pd.DataFrame(means, columns=list(SUMMARY_COLUMNS)).to_csv(
                self.summaries[run], index=False
            )

    def comparisons(self, settings: Settings) -> Comparisons:
        return Comparisons(ImageScores(self.metrics), Summaries(self.summaries), settings)


def as_published(name: str) -> dict[str, dict[str, float]]:
    """Return the scores of a table's runs, for its first subject, as the paper has them."""
    published = paper_table(name)
    return {
        f"{published.subjects[0]}/{c.run}/{c.kind}": dict(published.row(*c.paper_row).values)
        for c in TABLES[name].conditions
        if c.paper_row
    }
