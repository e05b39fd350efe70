"""All figures of a run, drawn into one folder that appears whole (paper figures 3, S5, S6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from brainit.core.artifacts import read_artifact
from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path
from brainit.core.settings import Settings
from brainit.data.fmri import load_subject_fmri
from brainit.data.recons import read_recons
from brainit.data.voxels import read_voxels
from brainit.evaluation.cluster_attention import cluster_attention
from brainit.evaluation.encoder_accuracy import predict_test_responses
from brainit.evaluation.summaries import Summaries
from brainit.evaluation.truth import read_voxel_truth
from brainit.models.brain_transformer_file import load_bit
from brainit.report.attention_figure import draw_attention
from brainit.report.cluster_figure import draw_clusters_by_area
from brainit.report.data_scaling import draw_data_scaling
from brainit.report.encoder_figure import draw_encoder_accuracy
from brainit.report.learning_curves import draw_learning_curves
from brainit.report.montage import draw_montage


@dataclass(frozen=True)
class FigureInputs:
    """The files that figures show; `truth` is None where the data are real."""

    voxels: Mapping[str, Path]
    betas: Mapping[str, Path]
    trials: Mapping[str, Path]
    stimuli: Path
    encoder: Path
    clusters: Path
    bit: Path
    histories: Mapping[str, Path]
    summaries: Mapping[str, Path]
    recons: Mapping[str, Path]
    truth: Path | None
    weights_dir: Path | None


def make_figures(inputs: FigureInputs, out: Path, settings: Settings) -> None:
    """Draw every figure into the folder `out`; clusters by area only where the truth is given.

    Raises `PipelineError` where truth is given for data that are not simulated.
    """
    simulated = settings.run.simulation
    if inputs.truth is not None and not simulated:
        raise PipelineError(
            "--truth", "a simulation", "run.simulation: false", "leave --truth and --card out"
        )
    with atomic_path(out) as folder:
        folder.mkdir(parents=True)
        recons = {name: read_recons(path) for name, path in inputs.recons.items()}
        draw_montage(recons, inputs.stimuli, folder / "montage.png", simulated)
        draw_learning_curves(inputs.histories, folder / "learning_curves.png", simulated)
        draw_data_scaling(Summaries(inputs.summaries), folder / "data_scaling.png", simulated)
        _draw_encoder(inputs, folder / "encoder_accuracy.png", settings)
        _draw_attention(inputs, folder / "attention_maps.png", settings)
        if inputs.truth is not None:
            _draw_clusters(inputs, inputs.truth, folder / "clusters_by_area.png")


def _evaluated(inputs: FigureInputs, settings: Settings) -> list[str]:
    return [subject for subject in settings.nsd.evaluated if subject in inputs.betas]


def _draw_encoder(inputs: FigureInputs, path: Path, settings: Settings) -> None:
    betas = {subject: inputs.betas[subject] for subject in _evaluated(inputs, settings)}
    predictions = predict_test_responses(
        inputs.encoder, betas, inputs.trials, inputs.stimuli, inputs.weights_dir, settings
    )
    ceilings = {s: read_voxels(inputs.voxels[s])["noise_ceiling"] for s in betas}
    draw_encoder_accuracy(predictions, ceilings, path, settings.run.simulation)


def _draw_attention(inputs: FigureInputs, path: Path, settings: Settings) -> None:
    subject = _evaluated(inputs, settings)[0]
    fmri = load_subject_fmri(
        subject, inputs.betas[subject], inputs.trials[subject], ("test",), "40h", True
    )
    hemisphere = read_voxels(inputs.voxels[subject])["hemisphere"]
    bit = load_bit(inputs.bit)
    bit.model.eval()
    draw_attention(cluster_attention(bit, fmri, hemisphere), subject, path, settings.run.simulation)


def _draw_clusters(inputs: FigureInputs, truth: Path, path: Path) -> None:
    truths = [read_voxel_truth(truth, s, table) for s, table in inputs.voxels.items()]
    clusters = read_artifact(inputs.clusters, "clusters")
    if list(clusters.attributes["subjects"]) != list(inputs.voxels):
        expected = f"clusters of the subjects {list(inputs.voxels)}, in this order"
        found = f"{clusters.attributes['subjects']}"
        raise PipelineError(inputs.clusters, expected, found, "give --voxels in their order")
    draw_clusters_by_area(clusters["voxel_cluster"], truths, path)
