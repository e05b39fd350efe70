"""One table of networks by role, and the one way to load them.

The demo's networks ship with the package; the published ones are files `<name>.safetensors` in a
weights folder. Whatever its size, a network of a role answers the same calls:

encoder_backbone  `embed`, `blocks`, `layers`, `n_registers`, `n_tokens`, `width`
semantic_tokens   `forward(images) -> (batch, n_tokens, width)`
vgg               `forward(images) -> five maps`, `channels`, `image_size`
generator         `encode`, `decode`, `add_noise`, `predict_noise`, `unconditional_tokens`
metric            `taps`, `forward(images) -> {tap: (batch, features)}`

Images are float32 (batch, 3, side, side) in [0, 1]; each network resizes to its own size.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from brainit.core.errors import PipelineError
from brainit.features.networks import (
    BIGG14,
    BUILDERS,
    load_openclip,
    load_vgg16_bn,
    openclip_config,
)
from brainit.features.weights_file import freeze, load_state, read_network

DEMO_FOLDER = Path(__file__).parent / "demo"


@dataclass(frozen=True)
class BackboneEntry:
    """A network: what it is for, where its weights come from and under which licence."""

    role: str
    name: str
    source: str
    licence: str
    size_mb: float
    description: str
    is_demo: bool = False

    @property
    def file(self) -> str:
        """Name of its weights file."""
        return f"{self.name}.safetensors"


def _demo(role: str, name: str, size_mb: float, description: str) -> BackboneEntry:
    return BackboneEntry(role, name, "trained by this project", "MIT", size_mb, description, True)


ENTRIES: tuple[BackboneEntry, ...] = (
    _demo("encoder_backbone", "demo_vit", 1.2, "ViT of 5 blocks with registers, 64 px"),
    _demo("semantic_tokens", "demo_openclip", 1.2, "OpenCLIP model of 4 blocks, 64 x 96 tokens"),
    _demo("vgg", "demo_vgg_bn", 0.5, "VGG with batch norm, 32 px"),
    _demo("generator", "demo_unclip", 5.7, "U-Net and AutoencoderKL, 64 px"),
    _demo("metric", "demo_resnet", 0.4, "residual classifier of scene contents, 64 px"),
    BackboneEntry(
        "encoder_backbone",
        "dinov2_vitl14_reg",
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_reg4_pretrain.pth",
        "Apache-2.0",
        1217,
        "DINOv2 ViT-L/14 with registers, layers 1, 6, 12, 18, 24",
    ),
    BackboneEntry(
        "semantic_tokens",
        "openclip_vit_bigg14",
        "hub: laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
        "MIT",
        10200,
        "OpenCLIP ViT-bigG/14, 256 x 1664 patch tokens after ln_post",
    ),
    BackboneEntry(
        "vgg",
        "vgg16_bn",
        "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth",
        "BSD-3-Clause",
        527.9,
        "VGG-16 with batch norm, taps 5, 12, 22, 32, 42 at 112 px",
    ),
    BackboneEntry(
        "generator",
        "unclip6",
        "hub data set: pscotti/mindeyev2, unclip6_epoch0_step110000.ckpt",
        "not established",
        18000,
        "MindEye2's SDXL unCLIP",
    ),
    BackboneEntry(
        "refiner",
        "zavychromaxl_v30",
        "hub data set: pscotti/mindeyev2, zavychromaxl_v30.safetensors",
        "not established",
        6900,
        "SDXL refiner",
    ),
    BackboneEntry(
        "metric",
        "alexnet",
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        "BSD-3-Clause",
        233.1,
        "features.4 and features.11",
    ),
    BackboneEntry(
        "metric",
        "inception_v3",
        "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
        "BSD-3-Clause",
        103.9,
        "avgpool",
    ),
    BackboneEntry(
        "metric",
        "clip_vit_l14",
        "https://openaipublic.azureedge.net/clip/models/"
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt",
        "MIT",
        900,
        "final image embedding",
    ),
    BackboneEntry(
        "metric",
        "efficientnet_b1",
        "https://download.pytorch.org/models/efficientnet_b1-c27df63c.pth",
        "BSD-3-Clause",
        30.1,
        "avgpool (V2 weights)",
    ),
    BackboneEntry(
        "metric",
        "swav_resnet50",
        "https://dl.fbaipublicfiles.com/deepcluster/swav_800ep_pretrain.pth.tar",
        "CC BY-NC 4.0",
        100,
        "avgpool",
    ),
)


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
        fix = f"put it there as safetensors; source: {entry.source} ({entry.size_mb:g} MB)"
        raise PipelineError(path, f"the weights of {entry.description}", "no file", fix)
    return path


def weights_path(role: str, name: str, folder: Path | None) -> Path:
    """Return the weights file of the network `name`; raises `PipelineError` where it is absent."""
    return require_weights(find_entry(name, role), folder)


def load_backbone(role: str, name: str, weights_dir: Path | None = None) -> nn.Module:
    """Return a network in evaluation mode whose parameters need no gradient.

    Raises `PipelineError` for an unknown name, a missing, truncated or foreign file, and for a
    published network whose loader is not part of this version.
    """
    entry = find_entry(name, role)
    if entry.is_demo:
        path = require_weights(entry, None)
        architecture, state = read_network(path, role)
        network = BUILDERS[role](architecture)
        load_state(path, network, state)
        return freeze(network)
    if name == "vgg16_bn":
        return freeze(load_vgg16_bn(require_weights(entry, weights_dir)))
    if name == "openclip_vit_bigg14":
        path = require_weights(entry, weights_dir)
        return freeze(load_openclip(path, openclip_config(BIGG14)))
    raise PipelineError(
        f"features.{role}: {name}",
        "a network that this version loads",
        "one whose loader is still to come",
        "use config/demo.yaml, or vgg16_bn and openclip_vit_bigg14",
    )
