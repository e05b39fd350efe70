"""Check the results, a simulation's against its truth: value, null, verdict (checks.csv)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.artifacts import write_table
from brainit.core.cli import named_paths, read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.evaluation.checks.results import CheckInputs, check_results


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("check_results", __doc__)
    for name in ("encoder", "clusters", "bit", "stimuli"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("voxels", "betas", "trials"):
        parser.add_argument(f"--{name}", nargs="+", required=True, help="subj01=PATH ...")
    for name in ("metrics", "summaries"):
        parser.add_argument(f"--{name}", nargs="+", required=True, help="subj01/40h/fused=PATH ...")
    for name in ("truth", "card"):
        parser.add_argument(f"--{name}", type=Path, help="of a simulation")
    parser.add_argument("--weights", type=Path, help="folder of published weights")
    parser.add_argument("--checks", type=Path, required=True, help="table to write (.csv)")
    args = parser.parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    inputs = CheckInputs(
        encoder=args.encoder,
        clusters=args.clusters,
        bit=args.bit,
        voxels=named_paths(args.voxels),
        betas=named_paths(args.betas),
        trials=named_paths(args.trials),
        stimuli=args.stimuli,
        metrics=named_paths(args.metrics),
        summaries=named_paths(args.summaries),
        weights_dir=args.weights,
        truth=args.truth,
        card=args.card,
    )
    write_table(args.checks, check_results(inputs, settings))


if __name__ == "__main__":
    run_step("check_results", main)
