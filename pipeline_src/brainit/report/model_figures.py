"""Figures of what the models have learned: encoder, embeddings, clusters and attention."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainit.core.artifacts import Artifact, read_artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.data.fmri import load_subject_fmri
from brainit.data.voxels import read_voxels
from brainit.evaluation.checks.cluster_attention import cluster_attention
from brainit.evaluation.checks.clusters import LEAST_CEILING
from brainit.evaluation.encoder import predict_test_responses
from brainit.evaluation.truth import VoxelTruth, read_scenes, read_voxel_truth
from brainit.models.brain_transformer import load_bit
from brainit.report.attention_figure import draw_attention
from brainit.report.cluster_figure import draw_clusters_by_area, main_areas
from brainit.report.cortex import draw_cluster_maps, draw_noise_ceiling_maps, is_on_surface
from brainit.report.embedding_figure import draw_embedding_map
from brainit.report.encoder_figure import draw_encoder_accuracy
from brainit.report.figure_inputs import FigureInputs
from brainit.report.query_attention import (
    draw_attention_cortex,
    draw_query_attention,
    query_attention,
)
from brainit.report.selectivity_figure import content_selectivity, draw_selectivity

HEMISPHERES = ("left hemisphere", "right hemisphere")


def draw_model_figures(inputs: FigureInputs, folder: Path, settings: Settings) -> None:
    """Draw them into `folder`; maps of the cortex only for voxels on fsaverage.

    Raises `PipelineError` where the models are of other subjects.
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
    found = read_artifact(path, kind)
    if list(found.attributes["subjects"]) != list(inputs.voxels):
        expected = f"{kind} of the subjects {list(inputs.voxels)}, in this order"
        names = f"{found.attributes['subjects']}"
        raise PipelineError(path, expected, names, "give --voxels in their order")
    return found


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
    """Draw responsive voxels, by true area, or by hemisphere where no area is known."""
    names: tuple[str, ...] = HEMISPHERES
    groups = np.concatenate([table["hemisphere"] for table in tables.values()])
    if truths:
        names, groups = truths[0].areas, np.concatenate([truth.area for truth in truths])
    subject = np.repeat(np.arange(len(tables)), [len(table["vertex"]) for table in tables.values()])
    ceiling = np.concatenate([table["noise_ceiling"] for table in tables.values()])
    shown = ceiling > LEAST_CEILING
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
    """Draw the attention of the first evaluated subject; `areas` of the clusters, where known."""
    subject, simulated = _evaluated(inputs, settings)[0], settings.run.simulation
    fmri = load_subject_fmri(
        subject, inputs.betas[subject], inputs.trials[subject], ("test",), "40h", True
    )
    bit = load_bit(inputs.bit)
    bit.model.eval()
    maps = cluster_attention(bit, fmri, tables[subject]["hemisphere"])
    draw_attention(maps, subject, folder / "attention_maps.png", simulated)
    found = query_attention(bit, fmri)
    path = folder / "query_attention.png"
    draw_query_attention(found, maps.right_share, subject, path, simulated)
    if is_on_surface(tables):
        path = folder / "attention_cortex.png"
        draw_attention_cortex(maps, found.cluster, subject, tables[subject], path, simulated)
    if inputs.truth is not None and areas is not None:
        chosen = content_selectivity(found.weights, found.nsd_id, read_scenes(inputs.truth))
        draw_selectivity(chosen, areas, subject, folder / "semantic_selectivity.png")
