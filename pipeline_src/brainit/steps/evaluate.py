"""Score one kind of reconstructions of a run, per image and in the mean (section 5.2)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.artifacts import write_table
from brainit.core.cli import read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.evaluation.score import evaluate_run


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("evaluate", __doc__)
    parser.add_argument("--recon", type=Path, required=True, help="folder of the run")
    parser.add_argument("--kind", required=True, help="lowlevel, semantic or fused")
    parser.add_argument("--stimuli", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="folder of published weights")
    parser.add_argument("--per-image", type=Path, required=True, help="table to write (.csv)")
    parser.add_argument("--summary", type=Path, required=True, help="means to write (.csv)")
    args = parser.parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    per_image, summary = evaluate_run(args.recon, args.kind, args.stimuli, args.weights, settings)
    write_table(args.per_image, per_image)
    write_table(args.summary, summary)


if __name__ == "__main__":
    run_step("evaluate", main, output="--per-image")
