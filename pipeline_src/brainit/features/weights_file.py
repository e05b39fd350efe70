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
REFETCH = "fetch it anew (brainit weights fetch), from the source in brainit weights list"
"""What to do with a published file that does not fit."""


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
    path: Path,
    network: nn.Module,
    state: dict[str, Tensor],
    assign: bool = False,
    fix: str = _FIX,
) -> None:
    """Load `state` strictly; raises `PipelineError` that lists what is missing, unknown, misshapen.

    `assign` puts the tensors in the place of the network's own, which may then be on `meta`. Batch
    norm's count of batches may be missing: files from before 2018 lack it, and scoring ignores it.
    """
    own = network.state_dict()
    faults = {
        "missing": [n for n in own if n not in state and not n.endswith(".num_batches_tracked")],
        "unknown": [n for n in state if n not in own],
        "misshapen": [
            f"{n} {tuple(state[n].shape)} instead of {tuple(own[n].shape)}"
            for n in own
            if n in state and state[n].shape != own[n].shape
        ],
    }
    if any(faults.values()):
        found = ", ".join(f"{kind} {sorted(names)}" for kind, names in faults.items() if names)
        raise PipelineError(path, "exactly the network's parameters", found, fix)
    network.load_state_dict(state, assign=assign)


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


def sizes_of(architecture: dict[str, Any]) -> dict[str, Any]:
    """Return the sizes kept beside a shipped network's weights, less its `kind`."""
    return {key: value for key, value in architecture.items() if key != "kind"}
