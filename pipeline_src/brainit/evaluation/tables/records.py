"""The numbers of a table, tidy: one record per condition, metric and set of subjects.

Means, intervals and tests come from the scores of every image; chance levels come from the
summaries, because `evaluate` permutes. A mean over subjects uses the images that all of them saw;
its interval resamples these images, the same ones for every subject.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from brainit.core.settings import Settings
from brainit.core.streams import numpy_generator
from brainit.data.trials import has_duration, in_duration, read_trials
from brainit.evaluation.metrics.names import OBJECT_AUC, direction_of
from brainit.evaluation.metrics.statistics import compare_paired, mean_interval
from brainit.evaluation.tables.rows import (
    Condition,
    PaperTable,
    Rows,
    training_data,
)
from brainit.evaluation.tables.run_scores import ImageScores, Summaries
from brainit.workflow.runs import NSDSYNTHETIC, Run
from brainit.workflow.study import RETRIEVAL_TABLE

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
NOT_COMPARED = ("", np.nan, np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Results:
    """The results that tables show.

    `n_trials` is by (subject, `Condition.data`); `classes` are those of NSD-synthetic's images, by
    image number; `encoder` has the files of `evaluate_encoder` by subject, `costs` the histories of
    peers by training, `identification` tables by source.
    """

    images: ImageScores
    summaries: Summaries
    n_trials: Mapping[tuple[str, str], int]
    classes: Mapping[int, str] = field(default_factory=dict)
    encoder: Mapping[str, Path] = field(default_factory=dict)
    costs: Mapping[str, Path] = field(default_factory=dict)
    identification: Mapping[str, Path] = field(default_factory=dict)

    def values(
        self, condition: Condition, group: Sequence[str], metric: str, run: str = ""
    ) -> "pd.Series[float] | None":
        """Return a condition's score of each image, mean over the subjects `group`, or None.

        `run` replaces the condition's run.
        """
        scores = self.images.values(group, run or condition.run, condition.kind, metric)
        if scores is None or not condition.image_class:
            return scores
        return scores[[self.classes.get(int(k)) == condition.image_class for k in scores.index]]


def count_training_trials(
    trials: Mapping[str, Path], runs: Sequence[str]
) -> dict[tuple[str, str], int]:
    """Return the number of trials that train the BITs of `runs`, by (subject, `Condition.data`).

    Transfer has no validation and trains on the validation images of its duration, too, as do its
    baselines; the full run and the model from scratch do not. `trials` are trial tables by subject.
    """
    parsed = [Run.parse(run) for run in runs]
    counts = {}
    for subject, path in trials.items():
        table = read_trials(path)
        is_train = (table["split"] == "train").to_numpy(dtype=bool)
        is_own = table["split"].isin(("train", "val")).to_numpy(dtype=bool)
        for run in parsed:
            if not has_duration(table, run.duration.name):
                continue  # no run of this subject: it has no such amount
            is_new = run.is_transfer or (run.is_baseline and not run.duration.is_full)
            used = is_own if is_new else is_train
            is_inside = in_duration(table, run.duration.name)
            counts[subject, training_data(run)] = int((used & is_inside).sum())
    return counts


def table_metrics(
    name: str, published: PaperTable, images: ImageScores, simulated: bool
) -> list[str]:
    """Return the metrics of a table: the paper's, or for a simulation all metrics of the runs.

    T6 adds retrieval, which MindEye2 publishes; in a simulation T6 has colour SSIM and retrieval.
    Metrics of retrieval carry the number of images, which differs between runs.
    """
    known = images.metrics()
    if name == RETRIEVAL_TABLE:
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
    """Return the tidy numbers (`RECORD_COLUMNS`) of the table `name`.

    The mean over subjects comes first, then each subject if there are several. On real data the
    subjects are those of the paper's mean, if any of them was run. `difference` is ours - paper,
    only if all of the paper's subjects were run: people differ more than methods.
    `paired_difference` is this condition - the reference row. Unknown numbers are NaN; a condition
    without runs has no record.
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
                values = (paper, *numbers[:3], difference, *numbers[3:], n_trials, simulated)
                seeds = over_seeds(condition, group, metric, results)
                records.append((*known_names, *values, *paired, *seeds))
    return pd.DataFrame(records, columns=list(RECORD_COLUMNS))


def _subjects(
    rows: Rows, condition: Condition, published: PaperTable, images: ImageScores, simulated: bool
) -> tuple[str, ...]:
    """Return the subjects of a row: only the paper's if the table has published numbers."""
    scored = images.subjects(condition.run, condition.kind)
    if rows.same_subjects:
        run = [set(images.subjects(c.run, c.kind)) for c in rows.conditions]
        common = set.intersection(*filter(None, run)) if any(run) else set()
        scored = tuple(s for s in scored if s in common) or scored
    if simulated or not published.rows:
        return scored
    return tuple(s for s in scored if s in published.subjects) or scored


def condition_label(
    condition: Condition, subjects: Sequence[str], n_trials: Mapping[tuple[str, str], int]
) -> str:
    """Return the heading of a condition with its amount of data and number of trials."""
    data = condition.data
    counts = sorted({n_trials[s, data] for s in subjects if (s, data) in n_trials})
    trials = f" ({' / '.join(f'{n:,}' for n in counts)} training trials)" if counts else ""
    return condition.heading + trials


def over_seeds(
    condition: Condition, group: tuple[str, ...], metric: str, results: Results
) -> tuple[int, float, float]:
    """Return the number of seeds of a row, the mean of their means and its deviation (n - 1).

    The deviation is NaN for one seed.
    """
    repeats = (run for run in results.images.runs() if _is_repeat(run, condition.run))
    runs = [condition.run, *repeats]
    scores = [results.values(condition, group, metric, run) for run in runs]
    means = [float(values.mean()) for values in scores if values is not None]
    if len(means) < 2:
        return len(means), means[0] if means else np.nan, np.nan
    return len(means), float(np.mean(means)), float(np.std(means, ddof=1))


def _is_repeat(name: str, of: str) -> bool:
    """Return True if the run `name` repeats the run `of` with another seed."""
    run, first = Run.parse(name), Run.parse(of)
    is_same = (run.kind, run.variant.row) == (first.kind, first.variant.row)
    return is_same and run.variant.seed is not None and first.variant.seed is None


def _numbers(
    condition: Condition, group: tuple[str, ...], metric: str, results: Results, settings: Settings
) -> tuple[float, float, float, float, int]:
    """Return mean, both ends of its interval, chance level and number of images."""
    scores = results.values(condition, group, metric)
    if scores is None:
        return (np.nan, np.nan, np.nan, np.nan, 0)
    interval = mean_interval(np.asarray(scores, dtype=np.float64), metric, settings)
    chance = None
    if not condition.image_class:
        chance = results.summaries.mean(condition.run, condition.kind, metric, group)
    null_mean = chance.null_mean if chance else np.nan
    return interval.mean, interval.ci_low, interval.ci_high, null_mean, interval.n_images


def _paired(
    rows: Rows,
    condition: Condition,
    group: tuple[str, ...],
    metric: str,
    results: Results,
    settings: Settings,
) -> tuple[str, float, float, float, float]:
    """Return the paired comparison with the row's reference row: same subjects, same images.

    A baseline of another amount of data is not compared: the difference would be one of data. Nor
    is the presence of objects, whose scores of single images have a meaning in the mean alone.
    """
    reference = rows.reference_of(condition)
    runs = Run.parse(condition.run), Run.parse(reference.run)
    is_other_data = runs[0].is_baseline and runs[0].duration != runs[1].duration
    if condition == reference or is_other_data or metric == OBJECT_AUC:
        return NOT_COMPARED
    pair = [results.values(c, group, metric) for c in (condition, reference)]
    if pair[0] is None or pair[1] is None:
        return NOT_COMPARED
    joined = pd.concat(pair, axis=1, join="inner").to_numpy(dtype=np.float64)
    comparison = compare_paired(
        joined[:, 0],
        joined[:, 1],
        settings.evaluation.n_bootstrap,
        numpy_generator(settings.run.seed, "paired", metric),
    )
    return (
        reference.heading,
        comparison.difference,
        comparison.ci_low,
        comparison.ci_high,
        comparison.p_value,
    )
