"""The baseline of Table T5: one hidden layer in the place of the low-level BIT.

Each voxel has its own weights into the hidden layer; what follows is shared by all subjects. The
outputs are all tokens of all VGG layers at once. The paper says "MLP (1k hidden)" and no more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from brainit.core.artifacts import read_artifact, write_artifact
from brainit.core.errors import PipelineError
from brainit.models.brain_transformer import SubjectBatch, stored_tensors
from brainit.models.subject_voxels import subject_slices, voxel_counts
from brainit.models.token_calibration import TokenCalibration, take_calibration


class BrainMlp(nn.Module):
    """Predict image features from all voxels of a subject: linear, GELU, linear.

    It is called as `BrainInteractionTransformer` is; its "brain tokens" are the one hidden layer.
    `n_voxels` counts the voxels of all subjects, which lie one after the other.
    """

    def __init__(self, *, n_voxels: int, hidden: int, n_queries: int, out_width: int) -> None:
        super().__init__()
        self.n_queries, self.out_width = n_queries, out_width
        # A subject's voxels together then give hidden units of order one or less.
        self.voxel_weight = nn.Parameter(torch.randn(n_voxels, hidden) / n_voxels**0.5)
        self.voxel_bias = nn.Parameter(torch.zeros(hidden))
        self.head = nn.Linear(hidden, n_queries * out_width)

    def tokenize_mixed(self, groups: Sequence[SubjectBatch]) -> Float[Tensor, "batch 1 hidden"]:
        """Return the hidden layer of several subjects' examples, groups one after the other.

        Voxels that are not kept count as zero, their mean. Raises `PipelineError` where a group has
        other voxels than its place in the model.
        """
        return torch.cat([self._hidden(group) for group in groups])

    def decode(
        self,
        brain_tokens: Float[Tensor, "batch 1 hidden"],
        query_index: Int[Tensor, "batch queries"] | None = None,
    ) -> Float[Tensor, "batch queries out"]:
        """Return the features `query_index` of each example; None asks all in order."""
        found: Tensor = self.head(brain_tokens[:, 0]).unflatten(1, (self.n_queries, self.out_width))
        if query_index is None:
            return found
        return found.gather(1, query_index[..., None].expand(-1, -1, self.out_width))

    def forward(
        self, betas: Float[Tensor, "batch subject_voxels"], voxels: slice
    ) -> Float[Tensor, "batch queries out"]:
        """Return all predicted features of examples of one subject."""
        return self.decode(self.tokenize_mixed([SubjectBatch(betas, voxels)]))

    def _hidden(self, group: SubjectBatch) -> Tensor:
        weight = self.voxel_weight[group.voxels]
        if group.betas.shape[-1] != len(weight):
            raise PipelineError(
                f"betas for voxels {group.voxels.start}:{group.voxels.stop}",
                f"{len(weight)} voxels",
                f"{group.betas.shape[-1]}",
                "use the MLP of these betas",
            )
        betas = group.betas if group.keep is None else group.betas * group.keep
        hidden: Tensor = nn.functional.gelu(betas @ weight + self.voxel_bias)
        return hidden[:, None]


@dataclass(frozen=True)
class LoadedMlp:
    """An MLP read from a file, and each subject's voxels in it."""

    model: BrainMlp
    subjects: dict[str, slice]
    calibration: TokenCalibration | None = None


def save_mlp(
    path: Path,
    model: BrainMlp,
    subjects: Mapping[str, int],
    seed: int,
    calibration: TokenCalibration | None = None,
) -> None:
    """Write an MLP over so many voxels of each of `subjects`, whole or not at all."""
    attributes = {
        "subjects": list(subjects),
        "n_voxels": dict(subjects),
        "seed": seed,
        "n_queries": model.n_queries,
        "out_width": model.out_width,
    }
    write_artifact(path, "mlp", stored_tensors(model, calibration), attributes)


def load_mlp(path: Path) -> LoadedMlp:
    """Read an MLP, on the CPU.

    Raises `PipelineError` for a missing, truncated or foreign file, and where weights and
    attributes do not fit each other.
    """
    artifact = read_artifact(path, "mlp")
    told = artifact.attributes
    state = {name: torch.from_numpy(array) for name, array in artifact.tensors.items()}
    calibration = take_calibration(state)
    n_voxels, hidden = state["voxel_weight"].shape
    counts = voxel_counts(path, told)
    model = BrainMlp(
        n_voxels=n_voxels, hidden=hidden, n_queries=told["n_queries"], out_width=told["out_width"]
    )
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        fix = "delete it and rerun train_bit_lowlevel"
        raise PipelineError(path, "weights that fit its attributes", str(error), fix) from error
    return LoadedMlp(model, subject_slices(counts), calibration)
