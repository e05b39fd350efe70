"""Make the trial table of a subject and its split (paper 5.1)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import read_settings, run_step, step_parser
from brainit.data.nsd.design import prepare_design
from brainit.data.trials import write_trials


def main(argv: Sequence[str] | None = None) -> None:
    """Write the trial table of `--subject` from the design files below `--nsd`."""
    parser = step_parser("prepare_design", __doc__)
    parser.add_argument("--subject", required=True, help="subj01 to subj08")
    parser.add_argument("--nsd", type=Path, required=True, help="root of NSD's tree")
    parser.add_argument("--trials", type=Path, required=True, help="trial table to write (.csv)")
    args = parser.parse_args(argv)
    settings = read_settings(args)
    trials = prepare_design(args.nsd, args.subject, settings.nsd, settings.run.seed)
    write_trials(args.trials, trials)


if __name__ == "__main__":
    run_step("prepare_design", main)
