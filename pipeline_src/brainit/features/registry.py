"""Load any pretrained network by role and name.

The demo's networks ship with the package; the published ones are files `<name>.safetensors` in a
weights folder. All networks of a role have the same interface:

encoder_backbone  `embed`, `blocks`, `layers`, `n_registers`, `n_tokens`, `width`
semantic_tokens   `forward(images) -> (batch, n_tokens, width)`
vgg               `forward(images) -> five maps`, `channels`, `image_size`
generator         `encode`, `decode`, `add_noise`, `predict_noise`, `unconditional_tokens`
refiner           `encode`, `decode`, `predict_guided_pair`
metric            `taps`, `forward(images) -> {tap: (batch, features)}`; where it reads what a scene
                  shows: `contents`, `content_outputs(last tap) -> (batch, contents)`; LPIPS, which
                  has no taps: `forward(images, images) -> (batch,)`

Images are float32 (batch, 3, side, side) in [0, 1]; each network resizes them to its input size.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from brainit.core.errors import PipelineError
from brainit.features.checkpoint_reader import read_tensors
from brainit.features.loaders import LOADERS
from brainit.features.registry_entries import BackboneEntry, find_entry
from brainit.features.weights_file import freeze, load_state, read_network

__all__ = [
    "DEMO_FOLDER",
    "find_entry",
    "load_backbone",
    "load_published",
    "require_weights",
    "weights_path",
]

DEMO_FOLDER = Path(__file__).parent / "demo"


def require_weights(entry: BackboneEntry, folder: Path | None) -> Path:
    """Return the weights file of a network; raise `PipelineError` that names its source."""
    path = DEMO_FOLDER / entry.file if entry.is_demo else (folder or Path("weights")) / entry.file
    if not path.is_file():
        fix = f"brainit weights fetch {entry.name}; source: {entry.source} ({entry.size_mb:g} MB)"
        expected = f"the weights of {entry.description}"
        raise PipelineError(path, expected, "no file", fix, code="missing-file")
    return path


def weights_path(role: str, name: str, folder: Path | None) -> Path:
    """Return the weights file of the network `name`; raise `PipelineError` if it is missing."""
    return require_weights(find_entry(name, role), folder)


def load_backbone(role: str, name: str, weights_dir: Path | None = None) -> nn.Module:
    """Return a network in evaluation mode, without gradients for its parameters.

    Raises `PipelineError` for an unknown name, for a missing or truncated file, and for a file of
    another network, whose missing and unknown parameters it lists.
    """
    entry = find_entry(name, role)
    path = require_weights(entry, weights_dir)
    if entry.is_demo:
        architecture, state = read_network(path, role)
        network = _loader(role, "demo")(architecture)
        load_state(path, network, state)
    else:
        network = load_published(entry, path, read_tensors(path))
    freeze(network)
    return freeze(network.folded()) if role == "vgg" else network


def load_published(entry: BackboneEntry, path: Path, published: dict[str, Tensor]) -> Any:
    """Build a published network from the tensors of its file at `path`, by published name.

    Raises `PipelineError` that lists missing and unknown parameters.
    """
    return _loader(entry.role, entry.name)(path, published)


def _loader(role: str, name: str) -> Callable[..., Any]:
    """Return the loader of a network; import only the module that defines it."""
    module, _, function = LOADERS[role][name].partition(":")
    loader: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return loader
