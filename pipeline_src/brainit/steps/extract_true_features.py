"""Compute the features of a subject's true test images that all its scores read (section 5.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_flags, run_step
from brainit.core.seeds import use_threads
from brainit.evaluation.true_features import write_true_features


@dataclass(frozen=True)
class Files:
    """A subject's test images, and the file to write."""

    trials: Path
    """Trial table of the subject."""
    stimuli: Path
    """Folder of the stimuli."""
    out: Path
    """Features to write (.safetensors)."""
    weights: Path | None = None
    """Folder of published weights."""
    truth: Path | None = None
    """Folder of a simulation's truth, whose scenes the images show."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    files, settings = parse_flags(argv, "extract_true_features", __doc__, Files)
    use_threads(settings.run.threads)
    write_true_features(
        files.trials, files.stimuli, files.weights, files.truth, files.out, settings
    )


if __name__ == "__main__":
    run_step("extract_true_features", main, output="--out")
