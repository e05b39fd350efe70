"""Bytes of the models that a run trains, and of the checkpoints that it keeps meanwhile.

Parameters are counted layer by layer, without PyTorch: a test counts those of the models.
"""

import math
from collections.abc import Mapping
from typing import TypeVar

from brainit.core.errors import PipelineError
from brainit.core.settings import Settings

Size = TypeVar("Size")

_BYTES = 4
_TARGET_SHAPES = {
    "openclip_vit_bigg14": (256, 1664),
    "demo_openclip": (64, 96),
    "vgg16_bn": (7190, 512),
    "demo_vgg_bn": (565, 64),
}
"""Tokens and their width, by network (sections 3.1 and D.2; a test reads the demo's)."""
_LATENT_SHAPES = {"unclip6": (4, 32, 32), "demo_unclip": (6, 16, 16)}
"""Channels, height and width of an image's latents, by generator (a test reads the demo's)."""
_GENERATOR_PARAMETERS = {"unclip6": 2_501_270_000, "demo_unclip": 2_181_000}
_STATES_IN_CHECKPOINT = 4
"""The parameters, AdamW's two moments, and the best parameters so far."""
_KEPT_CHECKPOINTS = 2


def target_shape(network: str) -> tuple[int, int]:
    """Return tokens and width that a BIT predicts for a network.

    Raises `PipelineError` for a network whose shape is not known.
    """
    return known(_TARGET_SHAPES, network, "tokens")


def latent_shape(network: str) -> tuple[int, int, int]:
    """Return channels, height and width of the latents of a generator.

    Raises `PipelineError` for a network whose shape is not known.
    """
    return known(_LATENT_SHAPES, network, "latents")


def known(sizes: Mapping[str, Size], network: str, what: str) -> Size:
    """Return a network's size; raises `PipelineError` where it is not listed, for 0 is none."""
    if network not in sizes:
        raise PipelineError(
            f"the {what} of {network}",
            f"one of the networks {', '.join(sizes)}",
            network,
            "name one of these in the section features, or add it to brainit/commands/plan",
            code="unknown-name",
        )
    return sizes[network]


def bit_bytes(settings: Settings, network: str, n_voxels: int) -> int:
    """Return the bytes of a BIT that predicts the tokens of `network` from `n_voxels` voxels.

    With width w: 11 w^2 + 10 w for a block of cross-attention, 12 w^2 + 10 w for one of
    self-attention, 4 w^2 + 5 w for the tokenizer.
    """
    n_queries, out_width = target_shape(network)
    width, n_blocks = settings.bit.width, settings.bit.n_blocks
    cross, own, tokenizer = (n * width**2 + m * width for n, m in ((11, 10), (12, 10), (4, 5)))
    shared = (n_blocks + 1) * cross + n_blocks * own + tokenizer
    shared += (settings.clusters.n_clusters + n_queries) * width + (width + 1) * out_width
    return _BYTES * (shared + n_voxels * (width + 2))


def mlp_bytes(hidden: int, network: str, n_voxels: int) -> int:
    """Return the bytes of T5's MLP that predicts the tokens of `network` from `n_voxels` voxels."""
    n_outputs = math.prod(target_shape(network))
    return _BYTES * (hidden * (n_voxels + 1) + (hidden + 1) * n_outputs)


def generator_bytes(settings: Settings) -> int:
    """Return the bytes of the generator's U-Net after stage 2."""
    return _BYTES * known(_GENERATOR_PARAMETERS, settings.features.generator, "parameters")


def checkpoint_bytes(trained: int) -> int:
    """Return the bytes of the checkpoints of a training of models of `trained` bytes."""
    return _KEPT_CHECKPOINTS * _STATES_IN_CHECKPOINT * trained
