"""Scores of the final images against the amount of the subject's data (tables 1 and T7)."""

from collections import Counter
from pathlib import Path

import numpy as np

from brainit.core.settings import Settings
from brainit.evaluation.metrics.names import is_two_way
from brainit.evaluation.metrics.statistics import MeanInterval, mean_interval
from brainit.evaluation.tables.run_scores import ImageScores, Summaries
from brainit.report.style import COLOURS, new_figure, save_figure
from brainit.workflow.runs import Run

RUNS = (
    *("1h_scratch", "15min", "30min"),
    *("1h_knn", "1h_ridge", "1h"),
    *("40h_knn", "40h_ridge", "40h"),
)
"""Runs by the amount of data, blind baselines before ours."""


def draw_data_scaling(
    images: ImageScores, summaries: Summaries, path: Path, settings: Settings
) -> None:
    """Draw a bar with its 95 % interval per run, for the same subjects; dashed: chance."""
    metrics = [m for m in images.metrics() if m in ("PixCorr", "SSIM") or is_two_way(m)]
    subjects = _subjects_with_most_runs(images)
    figure, axes = new_figure(1, len(metrics), 2.7 * len(metrics), 3.0)
    for ax, metric in zip(axes, metrics, strict=True):
        intervals = interval_by_run(images, subjects, metric, settings)
        for position, (run, score) in enumerate(intervals.items()):
            ax.bar(position, score.mean, color=_colour(Run.parse(run)), width=0.65)
            error = [[score.mean - score.ci_low], [score.ci_high - score.mean]]
            ax.errorbar(position, score.mean, yerr=error, color="black", capsize=3, linewidth=1)
        chance = summaries.mean(next(iter(intervals), ""), "fused", metric, subjects)
        if chance is not None and np.isfinite(chance.null_mean):
            ax.axhline(chance.null_mean, color="black", linestyle="--", linewidth=0.8)
        if is_two_way(metric):
            ax.set_ylim(40, 101)
        ax.set_xticks(range(len(intervals)), [_label(Run.parse(run)) for run in intervals])
        ax.set_title(metric)
    title = f"Amount of data, {', '.join(subjects)}; dashed: chance"
    save_figure(figure, path, title, settings.run.simulation)


def interval_by_run(
    images: ImageScores, subjects: tuple[str, ...], metric: str, settings: Settings
) -> dict[str, MeanInterval]:
    """Return the fused images' mean and interval of each of `RUNS` that all `subjects` have."""
    scores = {run: images.values(subjects, run, "fused", metric) for run in RUNS}
    return {
        run: mean_interval(np.asarray(values, dtype=np.float64), metric, settings)
        for run, values in scores.items()
        if values is not None
    }


def _subjects_with_most_runs(images: ImageScores) -> tuple[str, ...]:
    """Return the subjects with the most runs: bars of different subjects are not comparable."""
    n_runs = Counter(subject for run in RUNS for subject in images.subjects(run, "fused"))
    return tuple(sorted(s for s, n in n_runs.items() if n == max(n_runs.values())))


def _colour(run: Run) -> str:
    return COLOURS[3] if run.is_baseline else COLOURS[5] if run.is_scratch else COLOURS[0]


def _label(run: Run) -> str:
    how = "scratch" if run.is_scratch else run.method
    return run.duration.label + (f",\n{how}" if how else "")
