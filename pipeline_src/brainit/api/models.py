"""Trained models as functions of arrays: images to fMRI, fMRI to image features."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from brainit.core.artifacts import read_artifact
from brainit.core.settings import FeatureSettings
from brainit.models.brain_decoder import Decoder
from brainit.models.decoders import load_decoder
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
    """Return the predicted z-scored responses of `subject` to images in [0, 1] (2406.12179).

    Voxels are in the order of the subject's betas. Raises `PipelineError` for another subject.
    """
    return encoder.eval().predict(images, encoder.hoist(encoder.voxel_slice(subject)))


def open_decoder(path: str | Path) -> Decoder:
    """Read a decoder of any kind (BIT, MLP, ...) with each subject's voxels; on the CPU.

    Raises `PipelineError` for a missing, truncated or foreign file.
    """
    return load_decoder(Path(path))


@torch.inference_mode()
def predict_features(
    decoder: Decoder, subject: str, betas: Float[Tensor, "trials voxels"]
) -> Float[Tensor, "trials queries width"]:
    """Return the image features that a decoder predicts from z-scored betas (section 3.1).

    Semantic tokens, or VGG tokens layer after layer as in `VggTokenLayout`, calibrated where the
    decoder has a calibration. Raises `PipelineError` where the decoder does not know these voxels.
    """
    tokens = decoder.to(betas.device).predict_tokens(subject, betas)
    return tokens if decoder.calibration is None else decoder.calibration.apply(tokens)
