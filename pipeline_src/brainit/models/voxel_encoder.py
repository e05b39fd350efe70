"""The universal voxel encoder: from an image to every voxel's response (arXiv 2406.12179).

One network shared by all subjects, and one learned vector per voxel. The vector selects where a
voxel looks (spatial attention over the tokens of several layers of a frozen vision transformer with
low-rank adapters) and what it responds to (weights over the attended features: functional
attention). V2C clusters the vectors (paper section 3.1); the network predicts fMRI for external
images (paper section 4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from brainit.core.artifacts import Artifact, read_artifact, write_artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import EncoderSettings, FeatureSettings
from brainit.core.shards import shard_ranges
from brainit.features.registry import load_backbone
from brainit.models.adapters import LowRankAdapter
from brainit.models.voxel_attention import HoistedQuery, VoxelAttention, scaled_normal

SIZE_SETTINGS = ("feature_width", "voxel_width", "adapter_rank", "adapter_alpha", "dropout")
"""Settings that an encoder's weights depend on; its file records them."""

_AT_ONCE = {"cpu": (512, 4), "cuda": (8192, 16)}
"""Voxels and images predicted at once. On a CPU the widened features of a block stay in cache; on a
GPU, where each block costs kernel launches, they take 0.3 GB."""


@dataclass(frozen=True)
class HoistedVoxels:
    """The image-independent parts for some voxels: queries per layer, feature weights."""

    layers: tuple[HoistedQuery, ...]
    weights: Float[Tensor, "layers voxels feature"]

    def __len__(self) -> int:
        return self.weights.shape[1]


class VoxelEncoder(nn.Module):
    """Encoder of all voxels of its subjects, which lie one subject after the other.

    Parameters
    ----------
    backbone
        Frozen network of the role `encoder_backbone`; it is not part of the saved encoder.
    settings
        Widths, adapters and dropout.
    n_voxels
        Voxels of each subject, in order.
    """

    def __init__(
        self, backbone: nn.Module, settings: EncoderSettings, n_voxels: Mapping[str, int]
    ) -> None:
        super().__init__()
        network: Any = backbone
        self.backbone = network
        self.settings = settings
        self.precision = torch.float32
        self.n_voxels = dict(n_voxels)
        width, n_blocks = int(network.width), len(network.blocks)
        features, voxel_width = settings.feature_width, settings.voxel_width
        self.adapters = nn.ModuleList(
            LowRankAdapter(width, settings.adapter_rank, settings.adapter_alpha)
            for _ in range(n_blocks)
        )
        self.layers = nn.ModuleList(
            VoxelAttention(width, features, voxel_width, settings.dropout) for _ in network.layers
        )
        self.position = nn.Parameter(
            scaled_normal(int(network.n_tokens), voxel_width, width=voxel_width)
        )
        joined = len(network.layers) * features
        self.functional = nn.Parameter(torch.randn(voxel_width, joined) / voxel_width**0.5)
        self.voxel_embedding = nn.Parameter(
            scaled_normal(sum(self.n_voxels.values()), voxel_width, width=voxel_width)
        )

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subjects, in the order of their voxels."""
        return tuple(self.n_voxels)

    def voxel_slice(self, subject: str) -> slice:
        """Return the slice of a subject's voxels; raises `PipelineError` for an unknown subject."""
        if subject not in self.n_voxels:
            raise PipelineError(
                "voxel encoder",
                f"one of {self.subjects}",
                subject,
                f"rerun train_encoder on a pool with {subject}, or pass one of these subjects",
                code="unknown-name",
            )
        start = 0
        for name, count in self.n_voxels.items():
            if name == subject:
                break
            start += count
        return slice(start, start + self.n_voxels[subject])

    def use_precision(self, dtype: torch.dtype) -> None:
        """Run in `dtype` by autocast; weights, predictions and gradients stay float32."""
        self.precision = dtype

    def _autocast(self) -> torch.autocast:
        is_half = self.precision != torch.float32
        return torch.autocast(self.voxel_embedding.device.type, self.precision, enabled=is_half)

    def image_features(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> list[Float[Tensor, "batch tokens feature"]]:
        """Return the projected features of each tapped layer for images in [0, 1].

        The class token and the patches remain; the register tokens (positions 1 to R) are dropped.
        """
        tokens = self.backbone.embed(images)
        first_patch = 1 + int(self.backbone.n_registers)
        features = []
        taps = {number: index for index, number in enumerate(self.backbone.layers)}
        for number, (block, adapter) in enumerate(
            zip(self.backbone.blocks, self.adapters, strict=True), start=1
        ):
            tokens = adapter(block(tokens))
            if number in taps:
                kept = torch.cat([tokens[:, :1], tokens[:, first_patch:]], dim=1)
                layer: Any = self.layers[taps[number]]
                features.append(layer.features(kept))
        return features

    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        voxel_index: Int[Tensor, "batch sampled"],
    ) -> Float[Tensor, "batch sampled"]:
        """Predict each image's own voxels, in z-scores: the literal form, used in training.

        Images are in [0, 1]; `voxel_index` counts voxels over all subjects.
        """
        with self._autocast():
            return self.respond(self.image_features(images), voxel_index)

    def respond(
        self,
        features: list[Float[Tensor, "batch tokens feature"]],
        voxel_index: Int[Tensor, "batch sampled"],
    ) -> Float[Tensor, "batch sampled"]:
        """Predict each image's own voxels from the features of the tapped layers."""
        vectors = self.voxel_embedding[voxel_index]
        seen = [
            layer(x, vectors, self.position) for layer, x in zip(self.layers, features, strict=True)
        ]
        return (torch.cat(seen, dim=-1).float() * (vectors @ self.functional)).sum(dim=-1)

    @torch.no_grad()
    def hoist(self, voxels: slice) -> HoistedVoxels:
        """Compute the image-independent parts once; valid until the weights change."""
        vectors = self.voxel_embedding[voxels]
        queries = [layer.hoist(vectors, self.position) for layer in self._attentions()]
        joined = vectors @ self.functional
        weights = joined.view(len(vectors), len(queries), -1).transpose(0, 1).contiguous()
        return HoistedVoxels(tuple(queries), weights)

    @torch.no_grad()
    def predict(
        self, images: Float[Tensor, "batch 3 height width"], voxels: slice | HoistedVoxels
    ) -> Float[Tensor, "batch voxels"]:
        """Predict the same voxels for every image, in z-scores, without dropout or gradients.

        Equals `forward` in evaluation mode. Pass `hoist(voxels)` instead of the slice to predict
        many batches with the same weights.
        """
        hoisted = self.hoist(voxels) if isinstance(voxels, slice) else voxels
        return self.predict_each(images, [hoisted])[0]

    @torch.no_grad()
    def predict_each(
        self, images: Float[Tensor, "batch 3 height width"], parts: Sequence[HoistedVoxels]
    ) -> list[Float[Tensor, "batch _"]]:
        """Predict several sets of voxels of the same images, whose features are computed once.

        Each prediction has the bytes of `predict` of its set alone.
        """
        with self._autocast():
            features = self.image_features(images)
            return [self._predict_from(features, hoisted) for hoisted in parts]

    def _predict_from(
        self, features: list[Float[Tensor, "batch tokens feature"]], hoisted: HoistedVoxels
    ) -> Float[Tensor, "batch voxels"]:
        device, count = features[0].device, len(features[0])
        n_voxels, n_images = _AT_ONCE.get(device.type, _AT_ONCE["cpu"])
        predicted = torch.empty(count, len(hoisted), device=device)
        for first, last in shard_ranges(len(hoisted), n_voxels):
            voxels = slice(first, last)
            for start, stop in shard_ranges(count, n_images):
                part = [layer[start:stop] for layer in features]
                predicted[start:stop, voxels] = self._respond_hoisted(part, hoisted, voxels)
        return predicted

    def _respond_hoisted(
        self,
        features: list[Float[Tensor, "batch tokens feature"]],
        hoisted: HoistedVoxels,
        voxels: slice,
    ) -> Float[Tensor, "batch voxels"]:
        total = torch.zeros(1, device=hoisted.weights.device)
        for number, layer in enumerate(self._attentions()):
            seen = layer.attend_hoisted(features[number], hoisted.layers[number].rows(voxels))
            total = total + (seen * hoisted.weights[number, voxels]).sum(dim=-1)
        return total

    def _attentions(self) -> list[VoxelAttention]:
        return [layer for layer in self.layers if isinstance(layer, VoxelAttention)]

    def own_state(self) -> dict[str, Tensor]:
        """Return the state without the backbone's."""
        return {
            name: tensor
            for name, tensor in self.state_dict().items()
            if not name.startswith("backbone.")
        }

    def load_own_state(self, state: Mapping[str, Tensor]) -> None:
        """Load a state without the backbone; raises `RuntimeError` where names or shapes differ."""
        frozen = {n: t for n, t in self.state_dict().items() if n.startswith("backbone.")}
        self.load_state_dict({**frozen, **state})


def save_encoder(
    path: Path,
    encoder: VoxelEncoder,
    *,
    settings: EncoderSettings,
    backbone_name: str,
    pool: str,
    seed: int,
) -> None:
    """Write the encoder without its backbone, whole or not at all."""
    tensors = {name: tensor.detach().cpu().numpy() for name, tensor in encoder.own_state().items()}
    attributes = {
        "subjects": list(encoder.subjects),
        "n_voxels": encoder.n_voxels,
        "settings": {key: getattr(settings, key) for key in SIZE_SETTINGS},
        "backbone": backbone_name,
        "pool": pool,
        "seed": seed,
    }
    write_artifact(path, "encoder", tensors, attributes)


def load_encoder(
    path: Path, features: FeatureSettings, weights_dir: Path | None = None
) -> VoxelEncoder:
    """Read an encoder, on the CPU, in evaluation mode.

    Raises `PipelineError` for a missing, truncated or foreign file, for one trained on another
    backbone than `features.encoder_backbone`, and where its tensors do not fit its attributes.
    """
    artifact = read_artifact(path, "encoder")
    name = artifact.attributes["backbone"]
    if name != features.encoder_backbone:
        raise _other_settings(path, f"backbone {features.encoder_backbone}", f"backbone {name}")
    backbone = load_backbone("encoder_backbone", name, weights_dir)
    return encoder_from_artifact(path, artifact, backbone)


def encoder_from_artifact(path: Path, artifact: Artifact, backbone: nn.Module) -> VoxelEncoder:
    """Build the encoder of an artifact on `backbone`; raises `PipelineError` where they misfit."""
    attributes = artifact.attributes
    try:
        settings = EncoderSettings(**attributes["settings"])
        n_voxels = {subject: attributes["n_voxels"][subject] for subject in attributes["subjects"]}
        encoder = VoxelEncoder(backbone, settings, n_voxels)
        encoder.load_own_state({n: torch.from_numpy(a) for n, a in artifact.tensors.items()})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _other_settings(path, "tensors that fit its attributes", str(error)) from error
    return encoder.eval()


def require_encoder_settings(path: Path, encoder: VoxelEncoder, settings: EncoderSettings) -> None:
    """Check that an encoder has the sizes of `settings`; raises `PipelineError` otherwise."""
    expected = {key: getattr(settings, key) for key in SIZE_SETTINGS}
    sizes = {key: getattr(encoder.settings, key) for key in SIZE_SETTINGS}
    if sizes != expected:
        raise _other_settings(path, str(expected), str(sizes))


def _other_settings(path: Path, expected: str, found: str) -> PipelineError:
    return PipelineError(
        path,
        f"an encoder of {expected}",
        f"an encoder of other settings: {found}",
        "delete it and rerun train_encoder, or restore the settings of `encoder`",
        code="wrong-settings",
    )
