"""The device that the settings name, and the numbers that networks are kept and run in."""

import torch

from brainit.core.errors import PipelineError
from brainit.core.settings import Settings


def run_device(settings: Settings) -> torch.device:
    """Return the device of `run.device`; auto takes a GPU where there is one.

    Raises `PipelineError` where a GPU is asked for and there is none.
    """
    name = settings.run.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise PipelineError("run.device", "a CUDA device", "none", "set run.device: auto")
    return torch.device(name)


def frozen_precision(settings: Settings, device: torch.device) -> torch.dtype:
    """Return the type of the weights of large frozen networks, as `features.precision` says."""
    return _named_type(settings.features.precision, device)


def encoder_precision(settings: Settings, device: torch.device) -> torch.dtype:
    """Return the type that the voxel encoder runs in, as `encoder.precision` says."""
    return _named_type(settings.encoder.precision, device)


def _named_type(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
