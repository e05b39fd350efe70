"""Make the decoder that the settings choose, and read any: the file says which it holds."""

from importlib import import_module
from pathlib import Path
from typing import Any

from brainit.core.artifacts import artifact_kind
from brainit.core.decoders import DECODERS, PEERS
from brainit.core.errors import PipelineError
from brainit.core.seeds import seeded_init
from brainit.core.settings import Settings
from brainit.models.brain_decoder import Decoder, DecoderSpec


def decoder_class(name: str) -> type[Any]:
    """Return a registered decoder's class, a `Decoder`; only its module is imported."""
    module, _, class_name = DECODERS[name].partition(":")
    found: type[Any] = getattr(import_module(module), class_name)
    return found


def decoder_name(settings: Settings, kind: str) -> str:
    """Return the name of the decoder that the settings choose for "lowlevel" or "semantic".

    The semantic decoder is always a BIT: stage 2 trains BIT's network together with the generator.
    """
    return settings.bit_lowlevel.decoder if kind == "lowlevel" else "bit"


def new_decoder(spec: DecoderSpec) -> Decoder:
    """Return an untrained decoder as the settings choose it, drawn from the run's seed."""
    with seeded_init(spec.settings.run.seed, "bit", spec.kind):
        made: Decoder = decoder_class(decoder_name(spec.settings, spec.kind)).new(spec)
    return made


def load_decoder(path: Path) -> Decoder:
    """Read a decoder of any kind, on the CPU, in evaluation mode.

    Raises `PipelineError` for a missing, truncated or foreign file.
    """
    kind = artifact_kind(path)
    if kind not in DECODERS:
        raise PipelineError(
            path,
            f"a decoder: one of {sorted(DECODERS)}",
            f"'{kind}'",
            "pass the bit.safetensors that train_bit, train_joint or adapt_bit wrote",
            code="wrong-kind",
        )
    decoder: Decoder = decoder_class(kind).load(path)
    return decoder


def load_decoder_of(path: Path, settings: Settings, kind: str) -> Decoder:
    """Read a decoder that must be of this kind ("lowlevel" or "semantic") and of these settings.

    Raises `PipelineError` otherwise.
    """
    decoder, expected = load_decoder(path), decoder_name(settings, kind)
    if decoder.name != expected:
        raise PipelineError(
            path,
            f"a {kind} decoder '{expected}'",
            f"'{decoder.name}'",
            f"set bit_lowlevel.decoder to {decoder.name}, or delete the file and train anew",
            code="wrong-settings",
        )
    decoder.require_settings(path, settings, kind)
    return decoder


def new_peer(name: str, spec: DecoderSpec) -> Any:
    """Return an untrained peer, drawn from the run's seed: a `Decoder` with retrieval features."""
    with seeded_init(spec.settings.run.seed, "peer", name):
        return _peer_class(name).new(spec)


def load_peer(path: Path, name: str) -> Any:
    """Read the file of a peer, on the CPU, in evaluation mode.

    Raises `PipelineError` for a missing, truncated or foreign file.
    """
    return _peer_class(name).load(path)


def _peer_class(name: str) -> type[Any]:
    module, _, class_name = PEERS[name].partition(":")
    found: type[Any] = getattr(import_module(module), class_name)
    return found
