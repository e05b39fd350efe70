"""Models without results: a folder that `brainit export-models` wrote, or the hub's USER/NAME."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from brainit.api.models import open_decoder, open_encoder
from brainit.api.reconstructor import ModelFiles, Reconstructor
from brainit.core.artifacts import read_artifact
from brainit.core.reading import read_yaml
from brainit.core.settings import Settings, parse_sections
from brainit.models.brain_decoder import Decoder
from brainit.models.published import SETTINGS_FILE, fetch_models
from brainit.models.voxel_encoder import VoxelEncoder


@dataclass(frozen=True)
class PublishedModels:
    """A folder of models and their settings; files are read on demand.

    `weights_dir` holds the published networks (the demo's models need none).
    """

    folder: Path
    weights_dir: Path | None = None

    @cached_property
    def settings(self) -> Settings:
        """The settings that decoding shares with the models; raises `PipelineError` if unreadable.

        What the folder does not set has the paper's value.
        """
        path = self.folder / SETTINGS_FILE
        fix = "name a folder that `brainit export-models` wrote, or a repository of the hub"
        sections = read_yaml(path, "the settings of exported models", fix)
        return parse_sections(sections)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subjects that the models decode."""
        path = self.folder / "clusters" / "clusters.safetensors"
        return tuple(read_artifact(path, "clusters").attributes["subjects"])

    def encoder(self) -> VoxelEncoder:
        """Return the encoder, for `predict_responses`."""
        return open_encoder(self.folder / "encoder" / "encoder.safetensors", self.weights_dir)

    def decoder(self, kind: Literal["lowlevel", "semantic"] = "semantic") -> Decoder:
        """Return a decoder for `predict_features`; the semantic one is that after stage 2."""
        place = {"lowlevel": "bit_lowlevel", "semantic": "joint"}[kind]
        return open_decoder(self.folder / place / "bit.safetensors")

    def reconstructor(self, subject: str) -> Reconstructor:
        """Return the models as a function from a subject's betas to images."""
        files = ModelFiles(
            self.folder / "bit_lowlevel" / "bit.safetensors",
            self.folder / "joint" / "bit.safetensors",
            self.folder / "joint" / "generator.safetensors",
        )
        return Reconstructor(subject, files, self.settings, self.weights_dir)


def load_models(
    source: str | Path,
    revision: str = "main",
    weights_dir: Path | None = None,
    endpoint: str | None = None,
) -> PublishedModels:
    """Open models from a folder, or fetch those of USER/NAME on the Hugging Face hub.

    `revision` is a branch, tag or commit of the hub's repository. `endpoint` None: that of
    HF_ENDPOINT, or the public hub. Raises `PipelineError` where they cannot be had.
    """
    if Path(source).is_dir():
        return PublishedModels(Path(source), weights_dir)
    return PublishedModels(fetch_models(str(source), revision, endpoint), weights_dir)
