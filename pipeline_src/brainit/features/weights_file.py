"""Read and write the networks shipped with the demo: safetensors with the architecture as header.

Weights are stored as float16 and used as float32. Nothing is unpickled.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path
from brainit.core.reading import reading

_FIX = "restore the shipped file (`git checkout`) or train the network again (`make backbones`)"
REFETCH = "delete it and run `brainit weights fetch`; `brainit weights list` shows the source"
"""Fix for a published file whose parameters do not fit the network."""


def save_network(path: Path, network: nn.Module, architecture: dict[str, Any]) -> None:
    """Write the state of `network` as float16 (integers unchanged) with its architecture."""
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous().cpu()
        for name, value in network.state_dict().items()
    }
    with atomic_path(path) as partial:
        save_file(state, partial, metadata={"brainit_network": json.dumps(architecture)})


def read_network(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return architecture and float32 state of a shipped network of this kind.

    Raises `PipelineError` where the file is missing, truncated or of another kind of network.
    """
    expected = f"the weights of a '{kind}' network"
    with (
        reading(path, expected, _FIX, SafetensorError, ValueError, TypeError, RecursionError),
        safe_open(path, framework="pt") as handle,
    ):
        header = dict(json.loads((handle.metadata() or {}).get("brainit_network", "{}")))
        state = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    if header.get("kind") != kind:
        found = f"'{header.get('kind')}'"
        raise PipelineError(path, f"a '{kind}' network", found, _FIX, code="wrong-kind")
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
    """Load `state` strictly into `network`.

    With `assign` the tensors replace the network's own, which may then be on `meta`. The batch
    counts of batch norms may be missing: files from before 2018 lack them, and inference does not
    use them. Raises `PipelineError` that lists missing, unknown and misshapen parameters.
    """
    parameters = network.state_dict()
    faults = {
        "missing": [
            n for n in parameters if n not in state and not n.endswith(".num_batches_tracked")
        ],
        "unknown": [n for n in state if n not in parameters],
        "misshapen": [
            f"{n} {tuple(state[n].shape)} instead of {tuple(parameters[n].shape)}"
            for n in parameters
            if n in state and state[n].shape != parameters[n].shape
        ],
    }
    if any(faults.values()):
        found = ", ".join(f"{kind} {sorted(names)}" for kind, names in faults.items() if names)
        expected = "exactly the parameters of the network"
        raise PipelineError(path, expected, found, fix, code="wrong-kind")
    network.load_state_dict(state, assign=assign)


def renamed(name: str, patterns: Iterable[tuple[str, str]]) -> str:
    """Rename a parameter by the first (pattern, replacement) that matches its whole name.

    A name that no pattern matches is returned unchanged.
    """
    for pattern, replacement in patterns:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, replacement, name)
    return name


def freeze(network: nn.Module) -> nn.Module:
    """Switch the network to evaluation mode, without gradients, and return it."""
    network.eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network


def count_parameters(network: nn.Module) -> int:
    """Return the number of scalars in the network's parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def sizes_of(architecture: dict[str, Any]) -> dict[str, Any]:
    """Return the architecture of a shipped network without its `kind`."""
    return {key: value for key, value in architecture.items() if key != "kind"}
