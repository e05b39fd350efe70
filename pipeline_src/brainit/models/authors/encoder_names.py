"""Names of the voxel encoder's weights in the released checkpoints, and ours.

The released `layer_embed` takes no part in the prediction and is left out. Its `lora_B` reduces the
tokens to the rank and its `lora_A` widens them again.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from brainit.core.errors import PipelineError

_PATTERNS = (
    (r"voxel_embed", "voxel_embedding"),
    (r"feat_embed", "functional"),
    (r"pos_embed", "position"),
    (r"in_project\.(\d+)\.(\w+)", r"layers.\1.project.\2"),
    (r"norm_in\.(\d+)\.(\w+)", r"layers.\1.norm_in.\2"),
    (r"norm\.(\d+)\.(\w+)", r"layers.\1.norm.\2"),
    (r"map_att\.(\d+)\.project\.(\w+)", r"layers.\1.query.\2"),
    (r"map_att\.(\d+)\.project_x\.(\w+)", r"layers.\1.key.\2"),
    (r"mlp\.(\d+)\.fc1\.(\w+)", r"layers.\1.widen.\2"),
    (r"mlp\.(\d+)\.fc2\.(\w+)", r"layers.\1.narrow.\2"),
    (r"lora_A\.(\d+)\.weight", r"adapters.\1.up.weight"),
    (r"lora_B\.(\d+)\.weight", r"adapters.\1.down.weight"),
)
_UNUSED = "layer_embed"


def from_released_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the own state of a `VoxelEncoder` from weights by their released names.

    Raises `PipelineError` for an unknown name.
    """
    return {_our_name(name): tensor for name, tensor in weights.items() if name != _UNUSED}


def _our_name(name: str) -> str:
    for pattern, ours in _PATTERNS:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, ours, name)
    raise PipelineError(
        "encoder weights",
        "names of the released encoder",
        name,
        "pass the encoder's weights alone",
        code="wrong-kind",
    )
