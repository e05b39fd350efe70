"""The files from which figures are drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FigureInputs:
    """The files that figures show; `truth` is None where the data are real."""

    voxels: Mapping[str, Path]
    betas: Mapping[str, Path]
    trials: Mapping[str, Path]
    stimuli: Path
    encoder: Path
    clusters: Path
    bit: Path
    histories: Mapping[str, Path]
    metrics: Mapping[str, Path]
    summaries: Mapping[str, Path]
    recons: Mapping[str, Path]
    truth: Path | None
    weights_dir: Path | None
