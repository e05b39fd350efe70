"""Trained models as functions of arrays: images to fMRI, fMRI to image features."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from brainit.core.artifacts import read_artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import FeatureSettings
from brainit.models.brain_transformer import LoadedBit, load_bit
from brainit.models.voxel_encoder import VoxelEncoder, load_encoder


def open_encoder(path: str | Path, weights_dir: Path | None = None) -> VoxelEncoder:
    """Read a universal encoder with the backbone that its file names; on the CPU.

    `weights_dir` is the folder of published weights (not needed for the demo's). Raises
    `PipelineError` for a missing, truncated or foreign file.
    """
    backbone = read_artifact(Path(path), "encoder").attributes["backbone"]
    return load_encoder(Path(path), FeatureSettings(encoder_backbone=backbone), weights_dir)


@torch.inference_mode()
def predict_responses(
    encoder: VoxelEncoder, subject: str, images: Float[Tensor, "images 3 height width"]
) -> Float[Tensor, "images voxels"]:
    """Return the z-scored responses that `subject` would give to images in [0, 1] (2406.12179).

    Voxels are in the order of the subject's betas. Raises `PipelineError` for another subject.
    """
    return encoder.eval().predict(images, encoder.hoist(encoder.voxel_slice(subject)))


def open_bit(path: str | Path) -> LoadedBit:
    """Read a BIT with the voxels of each subject that it knows; on the CPU.

    Raises `PipelineError` for a missing, truncated or foreign file.
    """
    return load_bit(Path(path))


@torch.inference_mode()
def predict_features(
    bit: LoadedBit, subject: str, betas: Float[Tensor, "trials voxels"]
) -> Float[Tensor, "trials queries width"]:
    """Return the image features that a BIT reads from z-scored betas (section 3.1).

    Semantic tokens, or VGG tokens layer after layer as in `VggTokenLayout`, calibrated where the
    BIT holds a calibration. Raises `PipelineError` where the BIT does not know these voxels.
    """
    voxels = bit.subjects.get(subject)
    if voxels is None or voxels.stop - voxels.start != betas.shape[1]:
        known = {name: place.stop - place.start for name, place in bit.subjects.items()}
        found = f"{subject} with {betas.shape[1]} voxels"
        raise PipelineError("betas", f"a subject of {known}", found, "use the BIT of these betas")
    tokens: Tensor = bit.model.eval()(betas, voxels)
    return tokens if bit.calibration is None else bit.calibration.apply(tokens)
