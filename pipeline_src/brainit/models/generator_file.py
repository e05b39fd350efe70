"""The file of a generator after stage 2: the weights of its U-Net (section 3.2).

The VAE is frozen and stays in the network's own file. (Not part of `features.generator`, which the
registry used here imports.)
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from brainit.core.artifacts import read_artifact, write_artifact
from brainit.core.errors import PipelineError
from brainit.features.generator import Generator
from brainit.features.registry import load_backbone


def save_generator(path: Path, generator: Generator, *, name: str, seed: int) -> None:
    """Write the U-Net's weights; `name` is the generator's entry of the registry."""
    save_unet(path, generator.unet, name=name, seed=seed)


def save_unet(path: Path, unet: nn.Module, *, name: str, seed: int) -> None:
    """Write the weights of the U-Net of the generator `name`."""
    tensors = {key: value.detach().cpu().numpy() for key, value in unet.state_dict().items()}
    write_artifact(path, "generator", tensors, {"name": name, "seed": seed})


def load_generator(name: str, path: Path | None, weights_dir: Path | None = None) -> Generator:
    """Return the generator `name`, on the CPU, with the U-Net's weights at `path`.

    `path` None leaves the pretrained weights. Else the file's weights take the place of the
    pretrained ones, which are mapped from their file and never read: only one U-Net is in memory.
    Raises `PipelineError` where the file is of another generator or its weights do not fit.
    """
    generator: Any = load_backbone("generator", name, weights_dir)
    if path is None:
        return generator
    artifact = read_artifact(path, "generator")
    fix = "delete it and rerun train_joint"
    if artifact.attributes["name"] != name:
        found = f"generator {artifact.attributes['name']}"
        raise PipelineError(path, f"generator {name}", found, fix, code="wrong-settings")
    state = {
        key: torch.from_numpy(artifact.tensors.pop(key)).clone() for key in list(artifact.tensors)
    }
    try:
        generator.unet.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise PipelineError(
            path, f"weights of {name}", str(error), fix, code="inconsistent-inputs"
        ) from error
    return generator
