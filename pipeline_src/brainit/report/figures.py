"""All figures of a run, drawn into one folder that appears whole (paper figures 3, S5, S6, S9)."""

from pathlib import Path

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path
from brainit.core.settings import Settings
from brainit.data.recons import read_recons
from brainit.evaluation.tables.summaries import Summaries
from brainit.report.data_scaling import draw_data_scaling
from brainit.report.figure_inputs import FigureInputs
from brainit.report.learning_curves import draw_learning_curves
from brainit.report.model_figures import draw_model_figures
from brainit.report.ranked_montage import draw_ranked_montage
from brainit.report.subject_montage import draw_montage


def make_figures(inputs: FigureInputs, out: Path, settings: Settings) -> None:
    """Draw every figure into the folder `out`.

    Those of areas and objects are drawn only with the truth, learning curves only of what was
    trained here.

    Raises `PipelineError` where truth is given for data that are not simulated, and where the
    images of `recons` have no scores.
    """
    simulated = settings.run.simulation
    if inputs.truth is not None and not simulated:
        raise PipelineError(
            "--truth", "a simulation", "run.simulation: false", "leave --truth and --card out"
        )
    with atomic_path(out) as folder:
        folder.mkdir(parents=True)
        _draw_images(inputs, folder, simulated)
        if inputs.histories:
            draw_learning_curves(inputs.histories, folder / "learning_curves.png", simulated)
        draw_data_scaling(Summaries(inputs.summaries), folder / "data_scaling.png", simulated)
        draw_model_figures(inputs, folder, settings)


def _draw_images(inputs: FigureInputs, folder: Path, simulated: bool) -> None:
    recons = {name: read_recons(path) for name, path in inputs.recons.items()}
    draw_montage(recons, inputs.stimuli, folder / "montage.png", simulated)
    name, first = next(iter(recons.items()))
    scored = f"{name}/{list(first.images)[-1]}"
    if scored not in inputs.metrics:
        found = f"{sorted(inputs.metrics)}"
        raise PipelineError("--metrics", f"the scores of {scored}", found, "name them")
    path = folder / "best_median_worst.png"
    draw_ranked_montage(name, first, inputs.metrics[scored], inputs.stimuli, path, simulated)
