"""Names of BIT's weights in the released checkpoints, and ours.

The key's bias of the graph attention has no counterpart: it adds the same to every score of a
cluster, so it cancels in the softmax.
"""

from collections.abc import Mapping

from torch import Tensor

from brainit.core.errors import PipelineError

_PREFIXES = (
    ("voxel_embed", "voxel_embedding"),
    ("centers", "tokenizer.cluster_embedding"),
    ("pred_tokens", "query_tokens"),
    ("conv_centers.lin_query.", "tokenizer.query."),
    ("conv_centers.lin_key.", "tokenizer.key."),
    ("conv_centers.lin_value.", "tokenizer.value."),
    ("conv_centers.lin_skip.", "tokenizer.root."),
    ("norm_centers.", "tokenizer.norm."),
    ("blocks.", "transformer.self_blocks."),
    ("block_crosses.", "transformer.cross_blocks."),
    ("proj.", "head."),
)
_DROPPED = "conv_centers.lin_key.bias"


def from_released_names(weights: Mapping[str, Tensor], voxel_cluster: Tensor) -> dict[str, Tensor]:
    """Return the state of a `BrainInteractionTransformer` from weights by their released names.

    `voxel_cluster` is the V2C map, which the released weights do not hold. Raises `PipelineError`
    for an unknown name.
    """
    state = {"voxel_cluster": voxel_cluster}
    for name, tensor in weights.items():
        if name == _DROPPED:
            continue
        state[_our_name(name)] = tensor
    return state


def _our_name(name: str) -> str:
    for released, ours in _PREFIXES:
        if name == released or (released.endswith(".") and name.startswith(released)):
            return (ours + name[len(released) :]).replace(".attn.", ".")
    raise PipelineError(
        "BIT weights",
        "names of the released BIT",
        name,
        "pass the weights of the BIT alone",
        code="wrong-kind",
    )
