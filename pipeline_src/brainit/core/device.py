"""The device that the settings name."""

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
