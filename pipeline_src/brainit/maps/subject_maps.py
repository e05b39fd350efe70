"""The maps of one subject: noise ceiling, clusters, encoder accuracy, attention (sections 3.1, 5).

Each is read or computed from a run's own files, as its figures are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from brainit.core.artifacts import Artifact, read_artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import FeatureSettings, RunSettings, Settings
from brainit.data.fmri import load_subject_fmri
from brainit.data.voxels import read_voxels
from brainit.evaluation.checks.cluster_attention import cluster_attention
from brainit.evaluation.encoder import predict_test_responses
from brainit.maps.brain_maps import Label, LabelMap, ScalarMap
from brainit.models.brain_transformer import load_bit
from brainit.models.subject_voxels import subject_slices, voxel_counts
from brainit.report.cluster_colours import cluster_colours


@dataclass(frozen=True)
class SubjectFiles:
    """The files of one subject's maps; `models` is a folder with encoder, clusters and joint."""

    subject: str
    voxels: Path
    betas: Path
    trials: Path
    stimuli: Path
    models: Path
    weights_dir: Path | None

    @cached_property
    def table(self) -> Artifact:
        """The voxel table."""
        return read_voxels(self.voxels)


def noise_ceiling_map(files: SubjectFiles) -> list[ScalarMap]:
    """Return the noise ceiling of the mean of three trials, in percent of variance."""
    about = "Noise ceiling: explainable variance of the mean of three trials."
    values = files.table["noise_ceiling"].astype(np.float32)
    return [ScalarMap("noise_ceiling", values, "percent", about)]


def cluster_map(files: SubjectFiles) -> list[LabelMap]:
    """Return the functional clusters; label k + 1 is cluster k, the same in all subjects.

    Colours are those of the report's figures. Raises `PipelineError` where the V2C map lacks the
    subject or has other voxels.
    """
    path = files.models / "clusters" / "clusters.safetensors"
    clusters = read_artifact(path, "clusters")
    cluster = clusters["voxel_cluster"]
    encoder = read_artifact(files.models / "encoder" / "encoder.safetensors", "encoder")
    colours = cluster_colours(cluster, encoder["voxel_embedding"])
    labels = (cluster[_voxels_of(path, clusters, files)] + 1).astype(np.int32)
    table = tuple(
        Label(number, f"cluster {number - 1}", (float(red), float(green), float(blue)))
        for number, (red, green, blue) in enumerate(colours, start=1)
    )
    about = "Functional cluster of each voxel, shared by all subjects (V2C); label = cluster + 1."
    return [LabelMap("clusters", labels, table, about)]


def encoder_accuracy_map(files: SubjectFiles) -> list[ScalarMap]:
    """Return each voxel's correlation of predicted and measured responses to the test images."""
    path = files.models / "encoder" / "encoder.safetensors"
    backbone = read_artifact(path, "encoder").attributes["backbone"]
    settings = Settings(
        run=RunSettings(device="cpu"), features=FeatureSettings(encoder_backbone=backbone)
    )
    (predictions,) = predict_test_responses(
        path,
        {files.subject: files.betas},
        {files.subject: files.trials},
        files.stimuli,
        files.weights_dir,
        settings,
    )
    about = "Correlation over test images of the encoder's prediction with the measured response."
    values = predictions.correlation.astype(np.float32)
    return [ScalarMap("encoder_accuracy", values, "correlation", about)]


def attention_maps(files: SubjectFiles) -> list[ScalarMap]:
    """Return how much the semantic BIT reads each voxel's cluster, and where in the image.

    `attention` is the cluster's share of all attention for the test images, in percent.
    `attention_x` and `attention_y` are the mean position of the queries that read the cluster,
    minus the mean over clusters; 1 is half the image, to the right or up.
    """
    fmri = load_subject_fmri(
        files.subject, files.betas, files.trials, ("test",), "40h", average=True
    )
    bit = load_bit(files.models / "joint" / "bit.safetensors")
    bit.model.eval()
    found = cluster_attention(bit, fmri, files.table["hemisphere"])
    cluster = bit.model.voxel_cluster[bit.subjects[files.subject]].cpu().numpy()
    share = 100 * found.weights.mean(axis=0)
    n_rows = found.maps.shape[1]
    height = (found.maps.sum(axis=2) * np.linspace(1, -1, n_rows)).sum(axis=1)
    kinds = {
        "attention": (
            share,
            "percent",
            "Share of the semantic BIT's attention that the cluster gets.",
        ),
        "attention_x": (
            found.side,
            "half image",
            "Where in the image the cluster is read: right above 0.",
        ),
        "attention_y": (
            height - height.mean(),
            "half image",
            "Where in the image the cluster is read: up above 0.",
        ),
    }
    return [
        ScalarMap(name, of_cluster[cluster].astype(np.float32), unit, about)
        for name, (of_cluster, unit, about) in kinds.items()
    ]


MAPS: dict[str, Callable[[SubjectFiles], list[ScalarMap] | list[LabelMap]]] = {
    "noise_ceiling": noise_ceiling_map,
    "clusters": cluster_map,
    "encoder_accuracy": encoder_accuracy_map,
    "attention": attention_maps,
}
"""Maps by name; `attention` gives three."""


def _voxels_of(path: Path, clusters: Artifact, files: SubjectFiles) -> slice:
    """Return the subject's part of all voxels of a V2C map."""
    counts = voxel_counts(path, clusters.attributes)
    n_voxels = len(files.table["vertex"])
    if counts.get(files.subject) != n_voxels:
        expected = f"clusters of {files.subject} with {n_voxels} voxels"
        fix = f"give --models a folder whose models hold {files.subject}"
        raise PipelineError(path, expected, f"{counts}", fix, code="inconsistent-inputs")
    return subject_slices(counts)[files.subject]
