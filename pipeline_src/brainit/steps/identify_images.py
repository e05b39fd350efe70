"""Identify a subject's test images: by predicted responses (Kay et al. 2008) or by features."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.artifacts import write_table
from brainit.core.cli import parse_step, run_step
from brainit.core.seeds import use_threads
from brainit.evaluation.identification import IdentifyJob, identify


@dataclass(frozen=True)
class Output:
    """Where the table goes."""

    out: Path
    """table to write (.csv)"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = parse_step(argv, "identify_images", __doc__, IdentifyJob, Output)
    use_threads(args.settings.run.threads)
    write_table(args[Output].out, identify(args[IdentifyJob], args.settings))


if __name__ == "__main__":
    run_step("identify_images", main, output="--out")
