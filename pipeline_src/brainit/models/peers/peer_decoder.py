"""What the peers' decoders share: the attributes of their files, writing, and the checks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from brainit.core.artifacts import Artifact, Contract, write_artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.models.brain_decoder import (
    NetworkDecoder,
    TokenNetwork,
    counts_of,
    stored_tensors,
)
from brainit.models.token_calibration import Calibration

ATTRIBUTES = ("subjects", "n_voxels", "seed", "n_tokens", "token_width", "sizes", "network")
"""Attributes of a decoder's file."""


@dataclass
class PeerDecoder(NetworkDecoder):
    """A peer's network of some subjects, for the tokens of `network`; see `Decoder`."""

    name: ClassVar[str]
    contract: ClassVar[Contract]

    model: Any
    subjects: dict[str, slice]
    network: str
    calibration: Calibration | None = None

    @classmethod
    def sizes_in(cls, settings: Settings) -> dict[str, Any]:
        """Return the sizes that the settings choose."""
        raise NotImplementedError

    def require_settings(self, path: Path, settings: Settings, kind: str) -> None:
        """Raise `PipelineError` for another kind, sizes or tokens; see `Decoder`."""
        require_semantic(kind, self.name)
        require_sizes(path, self.model.sizes, self.sizes_in(settings))
        require_network(path, self.network, settings)

    def save(self, path: Path, seed: int) -> None:
        """Write the decoder, whole or not at all."""
        counts = counts_of(self.subjects)
        attributes = {
            "subjects": list(counts),
            "n_voxels": counts,
            "seed": seed,
            "n_tokens": self.model.n_queries,
            "token_width": self.model.out_width,
            "sizes": self.model.sizes,
            "network": self.network,
        }
        write_artifact(path, self.name, stored_tensors(self.model, None), attributes, self.contract)


def require_semantic(kind: str, name: str) -> None:
    """Raise `PipelineError` where a peer is asked for another kind of features than tokens."""
    if kind != "semantic":
        raise PipelineError(
            f"the decoder {name}",
            "semantic tokens, the only features that it predicts",
            f"features of the kind {kind}",
            "ask for its semantic images, or take the low-level images of ridge or of a BIT",
            code="unknown-name",
        )


def require_sizes(path: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Raise `PipelineError` where the file's sizes are not those of the settings."""
    if found != expected:
        differing = [name for name in expected if found.get(name) != expected[name]]
        raise PipelineError(
            path,
            f"a decoder with {', '.join(f'{n} {expected[n]}' for n in differing)}",
            ", ".join(f"{name} {found.get(name)}" for name in differing),
            "restore the settings that it was trained with, or delete it and train anew",
            code="wrong-settings",
        )


def require_network(path: Path, found: str, settings: Settings) -> None:
    """Raise `PipelineError` where a decoder predicts tokens of another network."""
    expected = settings.features.semantic_tokens
    if found != expected:
        raise PipelineError(
            path,
            f"a decoder of the tokens of {expected}",
            f"one of the tokens of {found}",
            f"set features.semantic_tokens to {found}, or delete it and train anew",
            code="wrong-settings",
        )


def load_state(path: Path, model: TokenNetwork, artifact: Artifact) -> None:
    """Load an artifact's tensors; raises `PipelineError` where they do not fit the model."""
    state = {name: torch.from_numpy(array) for name, array in artifact.tensors.items()}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise PipelineError(
            path,
            "weights that fit its attributes",
            str(error),
            "delete it and rerun train_peer or adapt_peer",
            code="inconsistent-inputs",
        ) from error
