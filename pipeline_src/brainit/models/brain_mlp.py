"""The baseline of Table T5: one hidden layer instead of the low-level BIT, and its file.

Each voxel has its own weights into the hidden layer; all later weights are shared by the subjects.
The outputs are all tokens of all VGG layers at once. The paper says only "MLP (1k hidden)".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from brainit.core.artifacts import Contract, TensorSpec, read_artifact, write_artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.models.brain_decoder import (
    DecoderSpec,
    NetworkDecoder,
    SubjectBatch,
    TokenNetwork,
    counts_of,
    stored_tensors,
)
from brainit.models.subject_voxels import subject_slices, voxel_counts
from brainit.models.token_calibration import Calibration, take_calibration


class BrainMlp(TokenNetwork):
    """Predict image features from all voxels of a subject: linear, GELU, linear.

    It has the interface of `BrainInteractionTransformer`; its "brain tokens" are the hidden layer.
    `n_voxels` counts the voxels of all subjects, one subject after the other.
    """

    def __init__(self, *, n_voxels: int, hidden: int, n_queries: int, out_width: int) -> None:
        super().__init__()
        self.n_queries, self.out_width = n_queries, out_width
        # So that the voxels of one subject give hidden units of order one or less.
        self.voxel_weight = nn.Parameter(torch.randn(n_voxels, hidden) / n_voxels**0.5)
        self.voxel_bias = nn.Parameter(torch.zeros(hidden))
        self.head = nn.Linear(hidden, n_queries * out_width)

    def tokenize_mixed(self, groups: Sequence[SubjectBatch]) -> Float[Tensor, "batch 1 hidden"]:
        """Return the hidden layer of several subjects' examples, groups one after the other.

        Voxels that are not kept count as zero, their mean. Raises `PipelineError` where a group has
        another number of voxels than its slice of the model.
        """
        return torch.cat([self._hidden(group) for group in groups])

    def decode(
        self,
        brain_tokens: Float[Tensor, "batch 1 hidden"],
        query_index: Int[Tensor, "batch queries"] | None = None,
    ) -> Float[Tensor, "batch queries out"]:
        """Return the features `query_index` of each example; None returns all in order."""
        tokens: Tensor = self.head(brain_tokens[:, 0]).unflatten(
            1, (self.n_queries, self.out_width)
        )
        if query_index is None:
            return tokens
        return tokens.gather(1, query_index[..., None].expand(-1, -1, self.out_width))

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
                f"pass betas of {len(weight)} voxels, or the MLP that was trained on these betas",
                code="inconsistent-inputs",
            )
        betas = group.betas if group.keep is None else group.betas * group.keep
        hidden: Tensor = nn.functional.gelu(betas @ weight + self.voxel_bias)
        return hidden[:, None]


@dataclass
class MlpDecoder(NetworkDecoder):
    """An MLP instead of the low-level BIT, and each subject's voxels in it."""

    name: ClassVar[str] = "mlp"
    contract: ClassVar[Contract] = Contract(
        {"voxel_weight": TensorSpec("float32", ("voxels", "hidden"))},
        ("subjects", "n_voxels", "seed", "n_queries", "out_width"),
        free_tensors=True,
        made_by="train_bit with bit_lowlevel.decoder: mlp",
    )

    model: BrainMlp
    subjects: dict[str, slice]
    calibration: Calibration | None = None

    @classmethod
    def new(cls, spec: DecoderSpec) -> "MlpDecoder":
        """Return an untrained MLP over the voxels of `spec`; see `Decoder`."""
        model = BrainMlp(
            n_voxels=len(spec.clusters["voxel_cluster"]),
            hidden=spec.settings.bit_lowlevel.mlp_width,
            n_queries=spec.n_queries,
            out_width=spec.out_width,
        )
        return cls(model, subject_slices(spec.subjects))

    @classmethod
    def load(cls, path: Path) -> "MlpDecoder":
        """Read an MLP, on the CPU, in evaluation mode; see `Decoder`."""
        artifact = read_artifact(path, cls.name, cls.contract)
        attributes = artifact.attributes
        state = {name: torch.from_numpy(array) for name, array in artifact.tensors.items()}
        calibration = take_calibration(state)
        n_voxels, hidden = state["voxel_weight"].shape
        counts = voxel_counts(path, attributes)
        model = BrainMlp(
            n_voxels=n_voxels,
            hidden=hidden,
            n_queries=attributes["n_queries"],
            out_width=attributes["out_width"],
        )
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise PipelineError(
                path,
                "weights that fit its attributes",
                str(error),
                "delete it and rerun the training of the low-level decoder",
                code="inconsistent-inputs",
            ) from error
        return cls(model.eval(), subject_slices(counts), calibration)

    def require_settings(self, path: Path, settings: Settings, kind: str) -> None:
        """Accept any width: the file alone determines the sizes; see `Decoder`."""

    def save(self, path: Path, seed: int) -> None:
        """Write the MLP, whole or not at all."""
        counts = counts_of(self.subjects)
        attributes = {
            "subjects": list(counts),
            "n_voxels": counts,
            "seed": seed,
            "n_queries": self.model.n_queries,
            "out_width": self.model.out_width,
        }
        tensors = stored_tensors(self.model, self.calibration)
        write_artifact(path, self.name, tensors, attributes, self.contract)
