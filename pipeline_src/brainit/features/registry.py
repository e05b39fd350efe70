"""The one way networks are loaded, by role and name.

The demo's networks ship with the package; the published ones are files `<name>.safetensors` in a
weights folder. Whatever its size, a network of a role answers the same calls:

encoder_backbone  `embed`, `blocks`, `layers`, `n_registers`, `n_tokens`, `width`
semantic_tokens   `forward(images) -> (batch, n_tokens, width)`
vgg               `forward(images) -> five maps`, `channels`, `image_size`
generator         `encode`, `decode`, `add_noise`, `predict_noise`, `unconditional_tokens`
refiner           `encode`, `decode`, `predict_guided_pair`
metric            `taps`, `forward(images) -> {tap: (batch, features)}`; LPIPS, which has no taps:
                  `forward(images, images) -> (batch,)`

Images are float32 (batch, 3, side, side) in [0, 1]; each network resizes to its own size.
"""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from brainit.core.errors import PipelineError
from brainit.features.checkpoint_reader import read_tensors
from brainit.features.dinov2 import load_dinov2
from brainit.features.lpips import load_lpips
from brainit.features.networks import BUILDERS, load_openclip, load_vgg16_bn
from brainit.features.published_metrics import (
    load_alexnet,
    load_clip_vit_l14,
    load_efficientnet_b1,
    load_inception_v3,
    load_swav_resnet50,
)
from brainit.features.refiner import load_sdxl_refiner
from brainit.features.registry_entries import ENTRIES, BackboneEntry
from brainit.features.unclip import load_unclip6
from brainit.features.vgg import VggFeatures
from brainit.features.weights_file import freeze, load_state, read_network

DEMO_FOLDER = Path(__file__).parent / "demo"

LOADERS: dict[str, Callable[[Path, dict[str, Tensor]], nn.Module]] = {
    "dinov2_vitl14_reg": load_dinov2,
    "openclip_vit_bigg14": load_openclip,
    "vgg16_bn": load_vgg16_bn,
    "unclip6": load_unclip6,
    "zavychromaxl_v30": load_sdxl_refiner,
    "alexnet": load_alexnet,
    "inception_v3": load_inception_v3,
    "clip_vit_l14": load_clip_vit_l14,
    "efficientnet_b1": load_efficientnet_b1,
    "swav_resnet50": load_swav_resnet50,
    "lpips_alex": load_lpips,
}
"""From the tensors of a published file, by their published names, to the network."""


def find_entry(name: str, role: str | None = None) -> BackboneEntry:
    """Return the entry of this name (and role); raises `PipelineError` that lists what there is."""
    for entry in ENTRIES:
        if entry.name == name and role in (None, entry.role):
            return entry
    known = [entry.name for entry in ENTRIES if role in (None, entry.role)]
    where = f"features.{role}" if role else "features"
    raise PipelineError(where, f"one of {known}", repr(name), "name a network of the registry")


def require_weights(entry: BackboneEntry, folder: Path | None) -> Path:
    """Return the weights file of a network; raises `PipelineError` that names its source."""
    path = DEMO_FOLDER / entry.file if entry.is_demo else (folder or Path("weights")) / entry.file
    if not path.is_file():
        fix = f"brainit weights fetch {entry.name}; source: {entry.source} ({entry.size_mb:g} MB)"
        raise PipelineError(path, f"the weights of {entry.description}", "no file", fix)
    return path


def weights_path(role: str, name: str, folder: Path | None) -> Path:
    """Return the weights file of the network `name`; raises `PipelineError` where it is absent."""
    return require_weights(find_entry(name, role), folder)


def load_backbone(role: str, name: str, weights_dir: Path | None = None) -> nn.Module:
    """Return a network in evaluation mode whose parameters need no gradient.

    Raises `PipelineError` for an unknown name, and for a missing, truncated or foreign file, whose
    missing and unknown names it lists.
    """
    entry = find_entry(name, role)
    if entry.is_demo:
        path = require_weights(entry, None)
        architecture, state = read_network(path, role)
        network = BUILDERS[role](architecture)
        load_state(path, network, state)
        return _for_use(network)
    path = require_weights(entry, weights_dir)
    return _for_use(LOADERS[name](path, read_tensors(path)))


def _for_use(network: nn.Module) -> nn.Module:
    freeze(network)
    return freeze(network.folded()) if isinstance(network, VggFeatures) else network
