"""Draw all figures of a run into a folder, written whole or not at all (figures 3, S5, S6, S9)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainit.core.artifacts import Artifact, read_artifact
from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path
from brainit.core.settings import Settings
from brainit.data.fmri import load_subject_fmri
from brainit.data.recons import read_recons
from brainit.data.voxels import read_voxels
from brainit.evaluation.checks.cluster_attention import cluster_attention
from brainit.evaluation.checks.clusters import LEAST_CEILING
from brainit.evaluation.encoder import EncoderPredictions, predict_test_responses
from brainit.evaluation.tables.run_scores import ImageScores, Summaries
from brainit.evaluation.truth import VoxelTruth, read_scenes, read_voxel_truth
from brainit.models.brain_transformer import load_bit
from brainit.report.attention_figures import (
    content_selectivity,
    draw_attention,
    draw_attention_cortex,
    draw_query_attention,
    draw_selectivity,
    query_attention,
)
from brainit.report.cluster_figures import draw_clusters_by_area, draw_embedding_map, main_areas
from brainit.report.cortex import draw_cluster_maps, draw_noise_ceiling_maps, is_on_surface
from brainit.report.data_scaling import draw_data_scaling
from brainit.report.image_grids import draw_first_images, draw_ranked_images
from brainit.report.learning_curves import draw_learning_curves
from brainit.report.style import COLOURS, new_figure, save_figure


@dataclass(frozen=True)
class FigureInputs:
    """The files that figures show; `truth` is None for real data."""

    voxels: Mapping[str, Path]
    betas: Mapping[str, Path]
    trials: Mapping[str, Path]
    stimuli: Path
    encoder: Path
    clusters: Path
    bit: Path
    histories: Mapping[str, Path]
    metrics: Mapping[str, Path]
    summaries: Mapping[str, Path]
    recons: Mapping[str, Path]
    truth: Path | None
    weights_dir: Path | None


def make_figures(inputs: FigureInputs, out: Path, settings: Settings) -> None:
    """Draw every figure into the folder `out`.

    Figures of true areas and objects need `truth`; learning curves show the models trained here.

    Raises `PipelineError` if truth is given for data that are not simulated, and if the images of
    `recons` have no scores.
    """
    simulated = settings.run.simulation
    if inputs.truth is not None and not simulated:
        found, fix = "run.simulation: false", "omit --truth and --card"
        raise PipelineError("--truth", "a simulation", found, fix, code="invalid-argument")
    with atomic_path(out) as folder:
        folder.mkdir(parents=True)
        _draw_images(inputs, folder, simulated)
        if inputs.histories:
            draw_learning_curves(inputs.histories, folder / "learning_curves.png", simulated)
        images, summaries = ImageScores(inputs.metrics), Summaries(inputs.summaries)
        draw_data_scaling(images, summaries, folder / "data_scaling.png", settings)
        draw_model_figures(inputs, folder, settings)


def _draw_images(inputs: FigureInputs, folder: Path, simulated: bool) -> None:
    recons = {name: read_recons(path) for name, path in inputs.recons.items()}
    draw_first_images(recons, inputs.stimuli, folder / "montage.png", simulated)
    name, first = next(iter(recons.items()))
    scored = f"{name}/{list(first.images)[-1]}"
    if scored not in inputs.metrics:
        found, fix = f"{sorted(inputs.metrics)}", f"add {scored}=PATH to --metrics"
        expected = f"the scores of {scored}"
        raise PipelineError("--metrics", expected, found, fix, code="invalid-argument")
    path = folder / "best_median_worst.png"
    draw_ranked_images(name, first, inputs.metrics[scored], inputs.stimuli, path, simulated)


HEMISPHERES = ("left hemisphere", "right hemisphere")


def draw_model_figures(inputs: FigureInputs, folder: Path, settings: Settings) -> None:
    """Draw encoder, embeddings, clusters and attention; maps of the cortex only for fsaverage.

    Raises `PipelineError` if the models are of other subjects.
    """
    tables = {subject: read_voxels(path) for subject, path in inputs.voxels.items()}
    truths = []
    if inputs.truth is not None:
        truths = [read_voxel_truth(inputs.truth, s, path) for s, path in inputs.voxels.items()]
    clusters = _of_subjects(inputs, inputs.clusters, "clusters")["voxel_cluster"]
    embedding = _of_subjects(inputs, inputs.encoder, "encoder")["voxel_embedding"]
    _draw_encoder(inputs, tables, folder / "encoder_accuracy.png", settings)
    _draw_embedding(tables, embedding, truths, folder / "embedding_map.png", settings)
    if is_on_surface(tables):
        simulated = settings.run.simulation
        draw_noise_ceiling_maps(tables, folder / "noise_ceiling_map.png", simulated)
        draw_cluster_maps(tables, clusters, embedding, folder / "cluster_map.png", simulated)
    if truths:
        draw_clusters_by_area(clusters, truths, folder / "clusters_by_area.png")
    areas = main_areas(clusters, truths) if truths else None
    _draw_attention(inputs, tables, areas, folder, settings)


def _of_subjects(inputs: FigureInputs, path: Path, kind: str) -> Artifact:
    artifact = read_artifact(path, kind)
    if list(artifact.attributes["subjects"]) != list(inputs.voxels):
        expected = f"{kind} of the subjects {list(inputs.voxels)}, in this order"
        subjects = artifact.attributes["subjects"]
        fix = f"give --voxels the tables of {', '.join(subjects)}, in this order"
        raise PipelineError(path, expected, f"{subjects}", fix, code="inconsistent-inputs")
    return artifact


def _evaluated(inputs: FigureInputs, settings: Settings) -> list[str]:
    return [subject for subject in settings.nsd.evaluated if subject in inputs.betas]


def _draw_encoder(
    inputs: FigureInputs, tables: dict[str, Artifact], path: Path, settings: Settings
) -> None:
    betas = {subject: inputs.betas[subject] for subject in _evaluated(inputs, settings)}
    predictions = predict_test_responses(
        inputs.encoder, betas, inputs.trials, inputs.stimuli, inputs.weights_dir, settings
    )
    ceilings = {subject: tables[subject]["noise_ceiling"] for subject in betas}
    draw_encoder_accuracy(predictions, ceilings, path, settings.run.simulation)


def _draw_embedding(
    tables: dict[str, Artifact],
    embedding: NDArray[np.float32],
    truths: list[VoxelTruth],
    path: Path,
    settings: Settings,
) -> None:
    """Draw responsive voxels, coloured by true area, or by hemisphere for real data."""
    names: tuple[str, ...] = HEMISPHERES
    groups = np.concatenate([table["hemisphere"] for table in tables.values()])
    if truths:
        names, groups = truths[0].areas, np.concatenate([truth.area for truth in truths])
    subject = np.repeat(np.arange(len(tables)), [len(table["vertex"]) for table in tables.values()])
    ceiling = np.concatenate([table["noise_ceiling"] for table in tables.values()])
    shown = ceiling > LEAST_CEILING
    if (groups < 0).any():
        names, groups = (*names, "unknown"), np.where(groups < 0, len(names), groups)
    run = settings.run
    draw_embedding_map(
        embedding[shown],
        (groups[shown], names),
        (subject[shown], list(tables)),
        run.seed,
        path,
        run.simulation,
    )


def _draw_attention(
    inputs: FigureInputs,
    tables: dict[str, Artifact],
    areas: list[str] | None,
    folder: Path,
    settings: Settings,
) -> None:
    """Draw the attention of the first evaluated subject whose hemispheres are known.

    `areas` are the clusters' main areas.
    """
    sided = [s for s in _evaluated(inputs, settings) if (tables[s]["hemisphere"] >= 0).all()]
    if not sided:
        return
    subject, simulated = sided[0], settings.run.simulation
    fmri = load_subject_fmri(
        subject, inputs.betas[subject], inputs.trials[subject], ("test",), "40h", True
    )
    bit = load_bit(inputs.bit)
    bit.model.eval()
    maps = cluster_attention(bit, fmri, tables[subject]["hemisphere"])
    draw_attention(maps, subject, folder / "attention_maps.png", simulated)
    attention = query_attention(bit, fmri)
    path = folder / "query_attention.png"
    draw_query_attention(attention, maps.right_share, subject, path, simulated)
    if is_on_surface(tables):
        path = folder / "attention_cortex.png"
        draw_attention_cortex(maps, attention.cluster, subject, tables[subject], path, simulated)
    if inputs.truth is not None and areas is not None:
        chosen = content_selectivity(attention.weights, attention.nsd_id, read_scenes(inputs.truth))
        draw_selectivity(chosen, areas, subject, folder / "semantic_selectivity.png")


def draw_encoder_accuracy(
    predictions: Sequence[EncoderPredictions],
    noise_ceiling: Mapping[str, NDArray[np.floating]],
    path: Path,
    simulated: bool,
) -> None:
    """Draw encoder accuracy against the noise ceiling of each voxel, a panel per subject.

    `noise_ceiling` is in percent, by subject, in voxel order. The line is the root of the ceiling:
    the highest correlation that any model can expect (arXiv 2406.12179).
    """
    figure, axes = new_figure(1, len(predictions), max(3.2 * len(predictions), 4.5), 3.4)
    line = np.linspace(0, 100, 200)
    for ax, prediction in zip(axes, predictions, strict=True):
        correlation = prediction.correlation
        ceiling = np.asarray(noise_ceiling[prediction.subject], dtype=np.float64)
        ax.plot(ceiling, correlation, ".", markersize=2, alpha=0.4, color=COLOURS[0])
        ax.plot(line, np.sqrt(line / 100), color="black", linewidth=1, label="sqrt(ceiling)")
        ax.axhline(0, color="grey", linewidth=0.6)
        median = float(np.median(correlation))
        ax.set(
            title=f"{prediction.subject}: median {median:.3f}, {len(correlation):,} voxels",
            xlabel="noise ceiling, % of variance",
            ylim=(-0.5, 1.02),
        )
        ax.legend(loc="lower right")
    axes[0].set_ylabel("correlation, held-out images")
    save_figure(figure, path, "Encoder accuracy by voxel", simulated)
