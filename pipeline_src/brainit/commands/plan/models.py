"""Bytes of the models that a run trains, and of the checkpoints that it keeps meanwhile.

A model is built without memory (PyTorch's meta device) and its parameters are counted.
"""

import math

import torch

from brainit.core.settings import Settings
from brainit.models.brain_transformer import BrainInteractionTransformer

_BYTES = 4
_TARGET_SHAPES = {
    "openclip_vit_bigg14": (256, 1664),
    "demo_openclip": (64, 96),
    "vgg16_bn": (7190, 512),
    "demo_vgg_bn": (565, 64),
}
"""Tokens and their width, by network (sections 3.1 and D.2; a test reads the demo's)."""
_GENERATOR_PARAMETERS = {"unclip6": 2_501_270_000, "demo_unclip": 2_181_000}
_STATES_IN_CHECKPOINT = 4
"""The parameters, AdamW's two moments, and the best parameters so far."""
_KEPT_CHECKPOINTS = 2


def target_shape(network: str) -> tuple[int, int]:
    """Return tokens and width that a BIT predicts for a network; (0, 0) for one not listed."""
    return _TARGET_SHAPES.get(network, (0, 0))


def bit_bytes(settings: Settings, network: str, n_voxels: int) -> int:
    """Return the bytes of a BIT that predicts the tokens of `network` from `n_voxels` voxels."""
    n_queries, out_width = target_shape(network)
    with torch.device("meta"):
        model = BrainInteractionTransformer(
            voxel_cluster=torch.zeros(1, dtype=torch.int64, device="cpu"),
            n_clusters=settings.clusters.n_clusters,
            n_queries=n_queries,
            out_width=out_width,
            width=settings.bit.width,
            n_heads=settings.bit.n_heads,
            n_blocks=settings.bit.n_blocks,
        )
    shared = sum(p.numel() for name, p in model.named_parameters() if name != "voxel_embedding")
    return _BYTES * (shared + n_voxels * (settings.bit.width + 2))


def mlp_bytes(hidden: int, network: str, n_voxels: int) -> int:
    """Return the bytes of T5's MLP that predicts the tokens of `network` from `n_voxels` voxels."""
    n_outputs = math.prod(target_shape(network))
    return _BYTES * (hidden * (n_voxels + 1) + (hidden + 1) * n_outputs)


def generator_bytes(settings: Settings) -> int:
    """Return the bytes of the generator's U-Net after stage 2."""
    return _BYTES * _GENERATOR_PARAMETERS.get(settings.features.generator, 0)


def checkpoint_bytes(trained: int) -> int:
    """Return the bytes of the checkpoints of a training of models of `trained` bytes."""
    return _KEPT_CHECKPOINTS * _STATES_IN_CHECKPOINT * trained
