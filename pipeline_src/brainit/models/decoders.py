"""The registry of decoders, and the one loader: the file says which decoder it holds."""

from pathlib import Path

from brainit.core.artifacts import artifact_kind
from brainit.core.errors import PipelineError
from brainit.core.seeds import seeded_init
from brainit.core.settings import Settings
from brainit.models.brain_decoder import Decoder, DecoderSpec
from brainit.models.brain_mlp import MlpDecoder
from brainit.models.brain_transformer import BitDecoder

DECODERS: dict[str, type[Decoder]] = {decoder.name: decoder for decoder in (BitDecoder, MlpDecoder)}
"""Decoders by name, which is also the kind of their files."""


def decoder_name(settings: Settings, kind: str) -> str:
    """Return the name of the decoder that the settings choose for "lowlevel" or "semantic"."""
    return settings.bit_lowlevel.decoder if kind == "lowlevel" else BitDecoder.name


def new_decoder(spec: DecoderSpec) -> Decoder:
    """Return an untrained decoder as the settings choose it, drawn from the run's seed."""
    with seeded_init(spec.settings.run.seed, "bit", spec.kind):
        return DECODERS[decoder_name(spec.settings, spec.kind)].new(spec)


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
    return DECODERS[kind].load(path)


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
