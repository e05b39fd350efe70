"""Device and floating-point precision that the settings choose."""

import torch

from brainit.core.errors import PipelineError
from brainit.core.settings import Settings


def run_device(settings: Settings) -> torch.device:
    """Return the device of `run.device`; auto uses a GPU if there is one.

    On a GPU it also lets torch use TF32 for the products that `run.tf32` names, and no others;
    InfoNCE has a setting of its own (`bit_lowlevel.logit_precision`).
    Raises `PipelineError` where the setting is cuda and there is no GPU.
    """
    name = settings.run.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise PipelineError(
            "run.device",
            "a CUDA device",
            "none",
            "set run.device to auto or cpu",
            code="no-device",
        )
    if name == "cuda":
        torch.backends.cudnn.allow_tf32 = settings.run.tf32 != "off"
        torch.backends.cuda.matmul.allow_tf32 = settings.run.tf32 == "all"
    return torch.device(name)


def frozen_precision(settings: Settings, device: torch.device) -> torch.dtype:
    """Return the dtype of the weights of large frozen networks (`features.precision`)."""
    return _dtype_of(settings.features.precision, device)


def encoder_precision(settings: Settings, device: torch.device) -> torch.dtype:
    """Return the dtype that the voxel encoder computes in (`encoder.precision`)."""
    return _dtype_of(settings.encoder.precision, device)


def _dtype_of(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
