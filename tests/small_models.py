"""A BIT, an encoder's settings and its backbone, each as small as it can be."""

from torch import Tensor, nn

from brainit.core.seeds import seeded_init
from brainit.core.settings import EncoderSettings
from brainit.features.encoder_backbone import EncoderBackbone
from brainit.features.weights_file import freeze
from brainit.models.brain_transformer import BrainInteractionTransformer

SMALL_ENCODER = EncoderSettings(feature_width=6, voxel_width=8, adapter_rank=2)
SHORT_TRAINING = {"voxels_per_example": 7, "batch": 8, "lr": 3e-2}
"""Settings of the encoder's training on a few images."""


def small_bit(
    voxel_cluster: Tensor,
    n_clusters: int,
    n_queries: int,
    out_width: int,
    width: int = 16,
    n_heads: int = 2,
    n_blocks: int = 1,
) -> BrainInteractionTransformer:
    """Return an untrained BIT, drawn from torch's global generator."""
    return BrainInteractionTransformer(
        voxel_cluster=voxel_cluster,
        n_clusters=n_clusters,
        n_queries=n_queries,
        out_width=out_width,
        width=width,
        n_heads=n_heads,
        n_blocks=n_blocks,
    )


def small_backbone(
    image_size: int = 8,
    width: int = 12,
    n_blocks: int = 2,
    n_registers: int = 1,
    layers: tuple[int, ...] = (1, 2),
) -> nn.Module:
    """Return a frozen backbone of random weights, the same at every call."""
    with seeded_init(1, "backbone"):
        network = EncoderBackbone(
            image_size=image_size,
            patch=4,
            width=width,
            n_blocks=n_blocks,
            n_heads=2,
            n_registers=n_registers,
            layers=layers,
        )
    return freeze(network)
