"""Score the encoder on a subject's test images, by part of cortex (beyond the paper)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.artifacts import write_table
from brainit.core.cli import parse_step, run_step
from brainit.core.seeds import use_threads
from brainit.evaluation.encoder import EncoderFiles, evaluate_encoder


@dataclass(frozen=True)
class Job:
    """The subject, and the file to write."""

    subject: str
    """subj01 to subj08."""
    accuracy: Path
    """Table (.csv)."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write the encoder's accuracy for `--subject`."""
    flags = {"weights_dir": "weights"}
    args = parse_step(argv, "evaluate_encoder", __doc__, Job, EncoderFiles, flags=flags)
    job, settings = args[Job], args.settings
    use_threads(settings.run.threads)
    table = evaluate_encoder(job.subject, args[EncoderFiles], settings)
    write_table(job.accuracy, table)


if __name__ == "__main__":
    run_step("evaluate_encoder", main)
