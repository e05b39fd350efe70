"""Voxel dropout of BIT's training: a new set of voxels per example (section D.1).

The paper draws 15,000 voxels per example, in the released code with replacement; a voxel drawn
twice counts once, so that of n voxels n (1 - (1 - 1/n)^k) are expected after k draws.
"""

import torch
from jaxtyping import Bool
from torch import Tensor

from brainit.core.errors import PipelineError


def draw_voxels(
    n_trials: int, n_voxels: int, n_draws: int, sampling: str, generator: torch.Generator
) -> Bool[Tensor, "batch voxels"]:
    """Draw the voxels that each trial is given, on the generator's device (section D.1).

    `sampling` is "with_replacement" (`n_draws` draws used as a set) or "without_replacement"
    (exactly `n_draws` voxels). Raises `PipelineError` for another word, and where more voxels than
    there are would be drawn without replacement.
    """
    device = generator.device
    if sampling == "with_replacement":
        shape = (n_trials, n_draws)
        drawn = torch.randint(n_voxels, shape, generator=generator, device=device)
    elif sampling == "without_replacement" and n_draws <= n_voxels:
        order = torch.rand(n_trials, n_voxels, generator=generator, device=device)
        drawn = order.topk(n_draws, dim=1).indices
    else:
        raise PipelineError(
            "settings voxel_sampling",
            f"with_replacement, or without_replacement of at most {n_voxels} voxels",
            f"{sampling} of {n_draws}",
            "correct voxel_sampling or voxels_per_example in the config file",
        )
    keep = torch.zeros(n_trials, n_voxels, dtype=torch.bool, device=device)
    return keep.scatter_(1, drawn, True)
