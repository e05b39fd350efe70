"""The table of networks: role, source of the weights, licence, users.

Checksums have as many hexadecimal digits of the SHA-256 as the publisher gives (torchvision and
CLIP put them into URLs; LPIPS's is of the package's release 0.1.4). Where a hub repository gives
none, revision `main` is fetched and its SHA-256 is recorded in the weights file.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from brainit.core.errors import PipelineError
from brainit.workflow.folders import expand_folder

OFFLINE_VARIABLE = "BRAINIT_WEIGHTS"

_TORCHVISION = "https://download.pytorch.org/models/"
_FACEBOOK = "https://dl.fbaipublicfiles.com/"


@dataclass(frozen=True)
class Source:
    """A published file: at a URL, or in a repository of the Hugging Face hub.

    `keep` lists prefixes of the parameters in use; () keeps all.
    """

    file: str
    size_mb: float
    url: str = ""
    repository: str = ""
    repository_type: str = "model"
    revision: str = "main"
    sha256: str = ""
    keep: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the URL, or the repository with revision and file."""
        if self.url:
            return self.url
        return f"hub {self.repository_type} {self.repository}@{self.revision}: {self.file}"


@dataclass(frozen=True)
class BackboneEntry:
    """A network: role, name, licence, sources of its weights, and the steps that use it."""

    role: str
    name: str
    licence: str
    size_mb: float
    description: str
    used_by: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()

    @property
    def is_demo(self) -> bool:
        """Return True if the network was trained by this project and ships with it."""
        return not self.sources

    @property
    def file(self) -> str:
        """Return the name of the weights file."""
        return f"{self.name}.safetensors"

    @property
    def source(self) -> str:
        """Where its weights come from, in words."""
        return " and ".join(str(source) for source in self.sources) or "trained by this project"


def _address(folder: str, file: str, size_mb: float, sha256: str = "", keep: str = "") -> Source:
    url = f"{folder}{file}"
    kept = (keep,) if keep else ()
    return Source(file.rpartition("/")[2], size_mb, url=url, sha256=sha256, keep=kept)


def _demo(role: str, name: str, size_mb: float, description: str) -> BackboneEntry:
    return BackboneEntry(role, name, "MIT", size_mb, description)


def _published(
    role: str, name: str, licence: str, description: str, used_by: str, *sources: Source
) -> BackboneEntry:
    size_mb = round(sum(source.size_mb for source in sources), 3)
    steps = tuple(used_by.split())
    return BackboneEntry(role, name, licence, size_mb, description, steps, sources)


def _mindeye2(file: str, size_mb: float, *keep: str) -> Source:
    repository = "pscotti/mindeyev2"
    return Source(file, size_mb, repository=repository, repository_type="dataset", keep=keep)


_UNET, _VAE = "model.diffusion_model.", "first_stage_model."
_GENERATES = (
    "extract_latents train_joint adapt_joint"
    " reconstruct_semantic reconstruct_fused reconstruct_searched"
)
_ALEXNET = _address(_TORCHVISION, "alexnet-owt-7be5be79.pth", 233.1, "7be5be79", keep="features.")

ENTRIES: tuple[BackboneEntry, ...] = (
    _demo("encoder_backbone", "demo_vit", 1.2, "ViT of 5 blocks with registers, 64 px"),
    _demo("semantic_tokens", "demo_openclip", 1.2, "OpenCLIP model of 4 blocks, 64 x 96 tokens"),
    _demo("vgg", "demo_vgg_bn", 0.5, "VGG with batch norm, 32 px"),
    _demo("generator", "demo_unclip", 5.7, "U-Net and AutoencoderKL, 64 px"),
    _demo("metric", "demo_resnet", 0.4, "residual classifier of scene contents, 64 px"),
    _published(
        "encoder_backbone",
        "dinov2_vitl14_reg",
        "Apache-2.0",
        "DINOv2 ViT-L/14 with registers, layers 1, 6, 12, 18, 24",
        "train_encoder adapt_encoder synthesize_fmri weigh_voxels reconstruct_searched",
        _address(_FACEBOOK, "dinov2/dinov2_vitl14/dinov2_vitl14_reg4_pretrain.pth", 1217),
    ),
    _published(
        "semantic_tokens",
        "openclip_vit_bigg14",
        "MIT",
        "OpenCLIP ViT-bigG/14, 256 x 1664 patch tokens after ln_post",
        "extract_features train_bit adapt_bit train_joint adapt_joint",
        Source(
            "open_clip_pytorch_model.bin",
            10160,
            repository="laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
            keep=("visual.",),
        ),
    ),
    _published(
        "vgg",
        "vgg16_bn",
        "BSD-3-Clause",
        "VGG-16 with batch norm, taps 5, 12, 22, 32, 42 at 112 px",
        "train_bit adapt_bit reconstruct_lowlevel",
        _address(_TORCHVISION, "vgg16_bn-6c64b313.pth", 527.9, "6c64b313", keep="features."),
    ),
    _published(
        "generator",
        "unclip6",
        "not established (SDXL base: OpenRAIL++-M)",
        "MindEye2's SDXL unCLIP: takes 256 x 1664 tokens, starts from a latent of 4 x 32 x 32",
        _GENERATES,
        _mindeye2("unclip6_epoch0_step110000.ckpt", 18000, _UNET, _VAE),
    ),
    _published(
        "refiner",
        "zavychromaxl_v30",
        "not established",
        "SDXL, as image-to-image at 768 px",
        "reconstruct_fused reconstruct_searched",
        _mindeye2("zavychromaxl_v30.safetensors", 6900, _UNET, _VAE, "conditioner."),
    ),
    _published(
        "metric",
        "alexnet",
        "BSD-3-Clause",
        "features.4 and features.11",
        "extract_true_features evaluate",
        _ALEXNET,
    ),
    _published(
        "metric",
        "inception_v3",
        "BSD-3-Clause",
        "avgpool",
        "extract_true_features evaluate",
        _address(_TORCHVISION, "inception_v3_google-0cc3c7bd.pth", 103.9, "0cc3c7bd"),
    ),
    _published(
        "metric",
        "clip_vit_l14",
        "MIT",
        "final image embedding",
        "extract_true_features evaluate",
        _address(
            "https://openaipublic.azureedge.net/clip/models/"
            "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/",
            "ViT-L-14.pt",
            890,
            "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
            keep="visual.",
        ),
    ),
    _published(
        "metric",
        "efficientnet_b1",
        "BSD-3-Clause",
        "avgpool (V2 weights)",
        "extract_true_features evaluate",
        _address(_TORCHVISION, "efficientnet_b1-c27df63c.pth", 30.1, "c27df63c"),
    ),
    _published(
        "metric",
        "swav_resnet50",
        "CC BY-NC 4.0",
        "avgpool",
        "extract_true_features evaluate",
        _address(_FACEBOOK, "deepcluster/swav_800ep_pretrain.pth.tar", 108),
    ),
    _published(
        "metric",
        "lpips_alex",
        "BSD-2-Clause (heads), BSD-3-Clause (AlexNet)",
        "LPIPS on AlexNet, version 0.1",
        "extract_true_features evaluate",
        _ALEXNET,
        _address(
            "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/"
            "lpips/weights/v0.1/",
            "alex.pth",
            0.006,
            "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        ),
    ),
)


def find_entry(name: str, role: str | None = None) -> BackboneEntry:
    """Return the entry of this name (and role); raise `PipelineError` that lists known names."""
    for entry in ENTRIES:
        if entry.name == name and role in (None, entry.role):
            return entry
    known = [entry.name for entry in ENTRIES if role in (None, entry.role)]
    where = f"features.{role}" if role else "features"
    fix = f"set {where} to one of these names" if role else f"replace {name} by one of these names"
    raise PipelineError(where, f"one of {known}", repr(name), fix, code="unknown-name")


def offline_folder() -> Path | None:
    """Return the folder in the environment variable BRAINIT_WEIGHTS, or None."""
    name = os.environ.get(OFFLINE_VARIABLE)
    return Path(expand_folder(name, OFFLINE_VARIABLE)) if name else None
