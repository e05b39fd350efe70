"""Draw images, scores, learning curves, and maps of ceilings, clusters and attention."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_step, run_step
from brainit.core.seeds import use_threads
from brainit.report.figures import FigureInputs, make_figures


@dataclass(frozen=True)
class Job:
    """The folder to write, and the figures to leave out."""

    out: Path
    """Folder of the figures."""
    card: Path | None = None
    """Card of a simulation; not drawn."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    flags = {"recons": "recon", "weights_dir": "weights"}
    args = parse_step(argv, "make_figures", __doc__, FigureInputs, Job, flags=flags)
    settings = args.settings
    use_threads(settings.run.threads)
    make_figures(args[FigureInputs], args[Job].out, settings)


if __name__ == "__main__":
    run_step("make_figures", main)
