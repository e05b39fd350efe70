"""Score one kind of reconstructions of a run, per image and in the mean (section 5.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.artifacts import write_table
from brainit.core.cli import parse_flags, run_step
from brainit.core.seeds import use_threads
from brainit.evaluation.score import evaluate_run


@dataclass(frozen=True)
class Files:
    """A run's folder, the inputs of its scores, and the tables to write."""

    recon: Path
    """Folder of the run."""
    kind: str
    """lowlevel, semantic or fused."""
    stimuli: Path
    """Folder of the stimuli."""
    per_image: Path
    """Scores of each image (.csv)."""
    summary: Path
    """Mean scores (.csv)."""
    weights: Path | None = None
    """Folder of published weights."""
    truth: Path | None = None
    """Folder of a simulation's truth, whose scenes the images show."""
    true_features: Path | None = None
    """Features of the true images, from extract_true_features; computed if not given."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    files, settings = parse_flags(argv, "evaluate", __doc__, Files)
    use_threads(settings.run.threads)
    per_image, summary = evaluate_run(
        files.recon,
        files.kind,
        files.stimuli,
        files.weights,
        settings,
        files.truth,
        files.true_features,
    )
    write_table(files.per_image, per_image)
    write_table(files.summary, summary)


if __name__ == "__main__":
    run_step("evaluate", main, output="--per-image")
