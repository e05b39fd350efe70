"""The interface of every decoder: a map from a known subject's responses to image features.

A decoder has one file with its class and one line in `core.decoders`. BIT and the MLP of Table T5
are networks that stage 1 trains by gradient steps; a decoder fitted in closed form reads
`TrainingData.examples` instead.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from brainit.core.artifacts import Artifact, Contract
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.models.token_calibration import Calibration


@dataclass(frozen=True)
class SubjectBatch:
    """Examples of one subject: z-scored `betas`, its `voxels` in the model, and the kept ones.

    `keep` None keeps all voxels.
    """

    betas: Float[Tensor, "batch subject_voxels"]
    voxels: slice
    keep: Bool[Tensor, "batch subject_voxels"] | None = None


class TokenNetwork(nn.Module):
    """A network that stage 1 trains: responses of several subjects to `n_queries` features."""

    n_queries: int

    def tokenize_mixed(self, groups: Sequence[SubjectBatch]) -> Tensor:
        """Return brain tokens (batch, clusters, width), the groups one after the other."""
        raise NotImplementedError

    def decode(
        self, brain_tokens: Tensor, query_index: Int[Tensor, "batch queries"] | None = None
    ) -> Tensor:
        """Return the features `query_index` of each example (batch, queries, out); None: all."""
        raise NotImplementedError


@runtime_checkable
class TrainingData(Protocol):
    """Examples of stage 1, and the two ways to learn from them."""

    def train(self, network: TokenNetwork) -> pd.DataFrame:
        """Train a network by gradient steps with the loss of stage 1; return its history."""

    def calibrate(self, network: TokenNetwork) -> Calibration | None:
        """Return the calibration that the settings ask for; None where they ask for none."""

    def examples(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield every training example once: subject, betas (n, voxels), tokens (n, queries, out).

        All voxels are kept.
        """


@dataclass(frozen=True)
class DecoderSpec:
    """Properties of a new decoder.

    `kind` is "lowlevel" or "semantic"; `subjects` gives the voxels of each subject in the order of
    `clusters`, the V2C map; `n_queries` and `out_width` are the shape of the features.
    """

    kind: str
    subjects: Mapping[str, int]
    clusters: Artifact
    n_queries: int
    out_width: int
    settings: Settings


@runtime_checkable
class Decoder(Protocol):
    """A decoder of some subjects.

    `name` is its registry entry and the kind of its file, `contract` the content of that file.
    """

    name: ClassVar[str]
    contract: ClassVar[Contract]
    subjects: dict[str, slice]
    calibration: Calibration | None

    @classmethod
    def new(cls, spec: DecoderSpec) -> "Decoder":
        """Return an untrained decoder; weights are drawn from torch's global generator."""

    @classmethod
    def load(cls, path: Path) -> "Decoder":
        """Read a decoder, on the CPU, in evaluation mode.

        Raises `PipelineError` for a missing, truncated or foreign file, and where its weights do
        not fit its attributes.
        """

    def require_settings(self, path: Path, settings: Settings, kind: str) -> None:
        """Raise `PipelineError` unless the decoder at `path` is of this kind and these settings."""

    def fit(self, data: TrainingData) -> pd.DataFrame:
        """Train the decoder and return its history, a row per epoch."""

    def save(self, path: Path, seed: int) -> None:
        """Write the decoder, whole or not at all."""

    def to(self, device: torch.device) -> "Decoder":
        """Move the decoder to a device, in evaluation mode, and return it."""

    def predict_tokens(
        self, subject: str, betas: Float[Tensor, "trials voxels"]
    ) -> Float[Tensor, "trials queries out"]:
        """Return the predicted features, before calibration.

        `betas` are z-scored, on the decoder's device. Raises `PipelineError` where the decoder does
        not know the subject or the subject has another number of voxels.
        """


Network = TypeVar("Network", bound="NetworkDecoder")


class NetworkDecoder:
    """What decoders share that are networks; see `Decoder`."""

    model: TokenNetwork
    subjects: dict[str, slice]
    calibration: Calibration | None

    def fit(self, data: TrainingData) -> pd.DataFrame:
        """Train the network by stage 1, calibrate it, and return its history."""
        history = data.train(self.model)
        self.calibration = data.calibrate(self.model)
        return history

    def to(self: Network, device: torch.device) -> Network:
        """Move the network to a device, in evaluation mode, and return the decoder."""
        self.model.to(device).eval()
        return self

    def predict_tokens(
        self, subject: str, betas: Float[Tensor, "trials voxels"]
    ) -> Float[Tensor, "trials queries out"]:
        """Return the predicted features, before calibration."""
        tokens: Tensor = self.model(betas, voxels_of(self.subjects, subject, betas))
        return tokens


def voxels_of(
    subjects: Mapping[str, slice], subject: str, betas: Float[Tensor, "trials voxels"]
) -> slice:
    """Return a subject's voxels in a decoder.

    Raises `PipelineError` where the decoder does not know the subject, or knows other voxels.
    """
    voxels = subjects.get(subject)
    if voxels is None or voxels.stop - voxels.start != betas.shape[1]:
        raise PipelineError(
            "betas",
            f"a subject of {counts_of(subjects)}",
            f"{subject} with {betas.shape[1]} voxels",
            f"pass betas of one of these subjects, or a decoder that was trained on {subject}",
            code="inconsistent-inputs",
        )
    return voxels


def counts_of(subjects: Mapping[str, slice]) -> dict[str, int]:
    """Return the number of voxels of each subject."""
    return {name: voxels.stop - voxels.start for name, voxels in subjects.items()}


def stored_tensors(network: nn.Module, calibration: Calibration | None) -> dict[str, NDArray[Any]]:
    """Return the content of a network's file: its state, and its calibration if it has one."""
    state = {**network.state_dict(), **(calibration.tensors() if calibration else {})}
    return {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
