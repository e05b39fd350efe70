"""Gather a run's shards into the folder of reconstructions, with montage and provenance."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import read_settings, run_step, step_parser
from brainit.data.recons import KINDS
from brainit.reconstruction.gather import gather_reconstructions


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("gather_reconstructions", __doc__)
    parser.add_argument("--subject", required=True)
    parser.add_argument(
        "--run",
        required=True,
        help="40h, 1h, 30min, 15min, 1h_scratch, 40h_<variant>, nsdsynthetic, first2 ...",
    )
    parser.add_argument("--stimuli", type=Path, required=True)
    for kind in KINDS:
        required = kind == "lowlevel"
        parser.add_argument(f"--{kind}", type=Path, nargs="+", required=required, help="shards")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    settings = read_settings(args)
    parts = {kind: getattr(args, kind) for kind in KINDS if getattr(args, kind)}
    gather_reconstructions(args.subject, args.run, args.stimuli, parts, args.out, settings)


if __name__ == "__main__":
    run_step("gather_reconstructions", main)
