"""How the scores of the fused images grow with the amount of data (tables 1 and T7)."""

from collections import Counter
from pathlib import Path

from brainit.evaluation.checks.scores import two_way_metrics
from brainit.evaluation.tables.run_scores import Summaries
from brainit.report.style import COLOURS, new_figure, save_figure

RUNS = {
    "1h_scratch": "1 h,\nscratch",
    "15min": "15 min",
    "30min": "30 min",
    "1h": "1 h",
    "40h": "40 h",
}


def draw_data_scaling(summaries: Summaries, path: Path, simulated: bool) -> None:
    """Draw bars with 95 % intervals by run, of the same subjects; dashed: chance."""
    metrics = ["PixCorr", "SSIM", *two_way_metrics(summaries)]
    metrics = [metric for metric in metrics if metric in summaries.metrics()]
    subjects = _subjects(summaries)
    figure, axes = new_figure(1, len(metrics), 2.7 * len(metrics), 3.0)
    for ax, metric in zip(axes, metrics, strict=True):
        found = [
            (label, score)
            for run, label in RUNS.items()
            if (score := summaries.mean(run, "fused", metric, subjects)) is not None
        ]
        for place, (_, score) in enumerate(found):
            colour = COLOURS[5] if place == 0 and found[0][0].endswith("scratch") else COLOURS[0]
            ax.bar(place, score.mean, color=colour, width=0.65)
            error = [[score.mean - score.ci_low], [score.ci_high - score.mean]]
            ax.errorbar(place, score.mean, yerr=error, color="black", capsize=3, linewidth=1)
        if found and found[0][1].null_mean == found[0][1].null_mean:
            ax.axhline(found[0][1].null_mean, color="black", linestyle="--", linewidth=0.8)
        if metric in two_way_metrics(summaries):
            ax.set_ylim(40, 101)
        ax.set_xticks(range(len(found)), [label for label, _ in found])
        ax.set_title(metric)
    title = f"Amount of data, {', '.join(subjects)}; dashed: chance"
    save_figure(figure, path, title, simulated)


def _subjects(summaries: Summaries) -> tuple[str, ...]:
    """Return the subjects with the most runs: bars of different subjects cannot be compared."""
    n_runs = Counter(subject for run in RUNS for subject in summaries.subjects(run))
    return tuple(sorted(s for s, n in n_runs.items() if n == max(n_runs.values())))
