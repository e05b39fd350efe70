"""The device of the torch steps."""

import torch

from brainit.core.errors import PipelineError


def torch_device(name: str) -> torch.device:
    """Return the device of the setting `run.device`: cpu, cuda, or auto (a GPU where there is one).

    Raises `PipelineError` where cuda is asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise PipelineError("run.device", "a CUDA device", "none", "set run.device to cpu or auto")
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")
