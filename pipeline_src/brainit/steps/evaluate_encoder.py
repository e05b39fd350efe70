"""Table of encoder accuracy against the noise ceiling, by part of cortex (beyond the paper)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import named_paths, read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.evaluation.encoder_table import encoder_table
from brainit.evaluation.table_files import write_table_files


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("evaluate_encoder", __doc__)
    parser.add_argument("--encoder", type=Path, required=True)
    for name in ("voxels", "betas", "trials"):
        parser.add_argument(f"--{name}", nargs="+", required=True, help="subj01=PATH ...")
    parser.add_argument("--stimuli", type=Path, required=True)
    parser.add_argument("--truth", type=Path, help="truth of a simulation")
    parser.add_argument("--weights", type=Path, help="folder of published weights")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    args = parser.parse_args(argv)
    settings = read_settings(args.settings)
    use_threads(settings.run.threads)
    table = encoder_table(
        args.encoder,
        named_paths(args.voxels),
        named_paths(args.betas),
        named_paths(args.trials),
        args.stimuli,
        args.truth,
        args.weights,
        settings,
    )
    write_table_files(args.out, table)


if __name__ == "__main__":
    run_step("evaluate_encoder", main)
