"""The numbers of a table, tidy: a row for each condition, metric and set of subjects.

Means, intervals and tests come from the metrics of every image; the chance levels from the
summaries, which `evaluate` makes with its permutations. A mean over subjects is over the images
that all of them have; its interval resamples these images, for all subjects alike.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from brainit.core.settings import Settings
from brainit.core.streams import numpy_generator
from brainit.data.trials import in_duration, read_trials
from brainit.evaluation.metrics.names import direction_of
from brainit.evaluation.metrics.statistics import compare_paired, mean_interval
from brainit.evaluation.tables.rows import (
    FROM_SCRATCH,
    NSDSYNTHETIC,
    RETRIEVAL,
    Condition,
    PaperTable,
    Rows,
    condition_name,
)
from brainit.evaluation.tables.run_scores import ImageScores, Summaries

RECORD_COLUMNS = (
    "condition",
    "metric",
    "direction",
    "subjects",
    "paper",
    "ours",
    "ci_low",
    "ci_high",
    "difference",
    "null_mean",
    "n_images",
    "n_training_trials",
    "simulation",
    "compared_with",
    "paired_difference",
    "paired_ci_low",
    "paired_ci_high",
    "p_value",
    "n_seeds",
    "seed_mean",
    "seed_sd",
)
_AMOUNTS = ("15min", "30min", "450trials", *(f"{n}h" for n in range(1, 41)))
NOT_COMPARED = ("", np.nan, np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Results:
    """All that tables are made of.

    `n_trials` is by (subject, `Condition.data`), `classes`, of NSD-synthetic, by number of image,
    `encoder`, files of the encoder's accuracy, by subject.
    """

    images: ImageScores
    summaries: Summaries
    n_trials: Mapping[tuple[str, str], int]
    classes: Mapping[int, str] = field(default_factory=dict)
    encoder: Mapping[str, Path] = field(default_factory=dict)

    def values(
        self, condition: Condition, group: Sequence[str], metric: str, run: str = ""
    ) -> "pd.Series[float] | None":
        """Return a condition's score of each image, mean over `group`; None where not known.

        `run` is another one in the condition's place.
        """
        found = self.images.values(group, run or condition.run, condition.kind, metric)
        if found is None or not condition.image_class:
            return found
        return found[[self.classes.get(int(k)) == condition.image_class for k in found.index]]


def count_training_trials(trials: Mapping[str, Path]) -> dict[tuple[str, str], int]:
    """Return the number of trials that BITs are trained on, by (subject, `Condition.data`).

    Transfer validates nothing and trains on the validation images of its duration as well; the full
    run and the model from scratch do not.
    """
    counts = {}
    for subject, path in trials.items():
        table = read_trials(path)
        is_train = (table["split"] == "train").to_numpy(dtype=bool)
        is_own = table["split"].isin(("train", "val")).to_numpy(dtype=bool)
        for duration in _AMOUNTS:
            used = is_train if duration == "40h" else is_own
            counts[subject, duration] = int((used & in_duration(table, duration)).sum())
        counts[subject, FROM_SCRATCH] = int((is_train & in_duration(table, "1h")).sum())
    return counts


def table_metrics(
    name: str, published: PaperTable, images: ImageScores, simulated: bool
) -> list[str]:
    """Return the metrics of a table: the paper's, and for a simulation all that there are.

    T6 adds retrieval, which MindEye2 publishes; in a simulation it has colour SSIM and retrieval.
    The metrics of retrieval are named by the number of images, which differs between runs.
    """
    known = images.metrics()
    if name == RETRIEVAL:
        return [m for m in known if "_retrieval_" in m]
    if name == NSDSYNTHETIC:
        known = images.metrics(NSDSYNTHETIC)
    further = [m for m in known if "_retrieval_" in m or m in published.metrics]
    if name == "t6":
        return further if simulated else list(dict.fromkeys((*published.metrics, *further)))
    return list(known) if simulated else list(published.metrics)


def table_records(
    name: str, rows: Rows, published: PaperTable, results: Results, settings: Settings
) -> pd.DataFrame:
    """Return the tidy numbers (`RECORD_COLUMNS`) of table `name`.

    The mean over subjects comes first, then each subject where there are several. On real data the
    subjects are those of the paper's mean, where any of them was run. `difference` is ours - paper
    where all of them were: of fewer it would be one between people. `paired_difference` is this
    condition - the one it is compared with. Columns of what is not known are NaN; a condition
    without runs has no row.
    """
    simulated = settings.run.simulation
    metrics = table_metrics(name, published, results.images, simulated)
    records = []
    for condition in rows.conditions:
        subjects = _subjects(rows, condition, published, results.images, simulated)
        if not subjects:
            continue
        is_comparable = not simulated and set(subjects) <= set(published.subjects)
        groups = [subjects, *((s,) for s in subjects if len(subjects) > 1)]
        for group in groups:
            for metric in metrics:
                paper = np.nan
                if condition.paper_row and is_comparable and group == subjects:
                    paper = published.row(*condition.paper_row).values.get(metric, np.nan)
                numbers = _numbers(condition, group, metric, results, settings)
                paired = _paired(rows, condition, group, metric, results, settings)
                label = condition_label(condition, subjects, results.n_trials)
                known_names = (label, metric, direction_of(metric), " ".join(group))
                difference = numbers[0] - paper if set(group) == set(published.subjects) else np.nan
                n_trials = sum(results.n_trials.get((s, condition.data), 0) for s in group)
                told = (paper, *numbers[:3], difference, *numbers[3:], n_trials, simulated)
                seeds = over_seeds(condition, group, metric, results)
                records.append((*known_names, *told, *paired, *seeds))
    return pd.DataFrame(records, columns=list(RECORD_COLUMNS))


def _subjects(
    rows: Rows, condition: Condition, published: PaperTable, images: ImageScores, simulated: bool
) -> tuple[str, ...]:
    """Return the subjects of a row: those that it has, of the paper's where there are numbers."""
    found = images.subjects(condition.run, condition.kind)
    if rows.same_subjects:
        run = [set(images.subjects(c.run, c.kind)) for c in rows.conditions]
        common = set.intersection(*filter(None, run)) if any(run) else set()
        found = tuple(s for s in found if s in common) or found
    if simulated or not published.rows:
        return found
    return tuple(s for s in found if s in published.subjects) or found


def condition_label(
    condition: Condition, subjects: Sequence[str], n_trials: Mapping[tuple[str, str], int]
) -> str:
    """Return the heading of a condition: what it is, and how much data it had."""
    data = condition.data
    found = sorted({n_trials[s, data] for s in subjects if (s, data) in n_trials})
    trials = f" ({' / '.join(f'{n:,}' for n in found)} training trials)" if found else ""
    return condition_name(condition) + trials


def over_seeds(
    condition: Condition, group: tuple[str, ...], metric: str, results: Results
) -> tuple[int, float, float]:
    """Return how many seeds a row was run with, the mean of their means and its deviation.

    The deviation (n - 1) is NaN for one seed. Runs of other seeds are `<run>_seed<number>`.
    """
    pattern = re.compile(rf"{condition.run}_seed\d+")
    runs = [condition.run, *(run for run in results.images.runs() if pattern.fullmatch(run))]
    found = [results.values(condition, group, metric, run) for run in runs]
    means = [float(values.mean()) for values in found if values is not None]
    if len(means) < 2:
        return len(means), means[0] if means else np.nan, np.nan
    return len(means), float(np.mean(means)), float(np.std(means, ddof=1))


def _numbers(
    condition: Condition, group: tuple[str, ...], metric: str, results: Results, settings: Settings
) -> tuple[float, float, float, float, int]:
    """Return mean, both ends of its interval, chance and the number of images."""
    scores = results.values(condition, group, metric)
    if scores is None:
        return (np.nan, np.nan, np.nan, np.nan, 0)
    found = mean_interval(np.asarray(scores, dtype=np.float64), metric, settings)
    chance = None
    if not condition.image_class:
        chance = results.summaries.mean(condition.run, condition.kind, metric, group)
    null_mean = chance.null_mean if chance else np.nan
    return found.mean, found.ci_low, found.ci_high, null_mean, found.n_images


def _paired(
    rows: Rows,
    condition: Condition,
    group: tuple[str, ...],
    metric: str,
    results: Results,
    settings: Settings,
) -> tuple[str, float, float, float, float]:
    """Return the comparison with the table's reference row, over the same subjects and images."""
    reference = rows.conditions[rows.reference]
    if condition == reference:
        return NOT_COMPARED
    pair = [results.values(c, group, metric) for c in (condition, reference)]
    if pair[0] is None or pair[1] is None:
        return NOT_COMPARED
    joined = pd.concat(pair, axis=1, join="inner").to_numpy(dtype=np.float64)
    found = compare_paired(
        joined[:, 0],
        joined[:, 1],
        settings.evaluation.n_bootstrap,
        numpy_generator(settings.run.seed, "paired", metric),
    )
    name = condition_name(reference)
    return (name, found.difference, found.ci_low, found.ci_high, found.p_value)
