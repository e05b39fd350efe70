"""Read and write the shipped networks: safetensors with their architecture in the header.

Weights are kept as float16 and used as float32. Nothing is unpickled.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path

_FIX = "restore the shipped file (git checkout) or train it anew (make backbones)"


def save_network(path: Path, network: nn.Module, architecture: dict[str, Any]) -> None:
    """Write the state of `network` as float16 (integers as they are) with its architecture."""
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous().cpu()
        for name, value in network.state_dict().items()
    }
    with atomic_path(path) as partial:
        save_file(state, partial, metadata={"brainit_network": json.dumps(architecture)})


def read_network(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return architecture and float32 state of a shipped network of this kind.

    Raises `PipelineError` where the file is missing, truncated or another kind of network.
    """
    if not path.is_file():
        raise PipelineError(path, f"the weights of a '{kind}' network", "no file", _FIX)
    try:
        with safe_open(path, framework="pt") as handle:
            header = json.loads((handle.metadata() or {}).get("brainit_network", "{}"))
            state = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise PipelineError(path, f"a readable '{kind}' network", str(error), _FIX) from error
    if header.get("kind") != kind:
        raise PipelineError(path, f"a '{kind}' network", f"'{header.get('kind')}'", _FIX)
    return header, {
        name: value.float() if value.is_floating_point() else value for name, value in state.items()
    }


def load_state(
    path: Path, network: nn.Module, state: dict[str, Tensor], assign: bool = False
) -> None:
    """Load `state` strictly; raises `PipelineError` that lists missing and unknown keys.

    `assign` puts the tensors in the place of the network's own, which may then be on `meta`.
    """
    missing, unknown = network.load_state_dict(state, strict=False, assign=assign)
    if missing or unknown:
        found = f"missing {sorted(missing)}, unknown {sorted(unknown)}"
        raise PipelineError(path, "exactly the network's parameters", found, _FIX)


def freeze(network: nn.Module) -> nn.Module:
    """Return the network in evaluation mode, without gradients for its parameters."""
    network.eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network


def count_parameters(network: nn.Module) -> int:
    """Return how many numbers the network's parameters hold."""
    return sum(parameter.numel() for parameter in network.parameters())


def is_finite(state: dict[str, Tensor]) -> bool:
    """Say whether every number of a state dict is finite."""
    return all(bool(torch.isfinite(value).all()) for value in state.values())
