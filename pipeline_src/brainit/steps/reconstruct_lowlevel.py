"""Reconstruct low-level images of a shard of test images with a Deep Image Prior (3.2, D.2)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.reconstruction.lowlevel import reconstruct_lowlevel
from brainit.reconstruction.parts import write_part
from brainit.reconstruction.predictions import DecodingJob


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("reconstruct_lowlevel", __doc__)
    parser.add_argument("--subject", required=True)
    parser.add_argument("--betas", type=Path, required=True)
    parser.add_argument("--trials", type=Path, required=True)
    parser.add_argument("--bit", type=Path, required=True, help="low-level BIT")
    parser.add_argument("--shard", default="0/1", help="k/n: shard k, from 0, of n")
    parser.add_argument("--weights", type=Path, help="folder of published weights")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    job = DecodingJob(args.subject, args.betas, args.trials, args.bit, args.shard, args.weights)
    write_part(args.out, reconstruct_lowlevel(job, settings))


if __name__ == "__main__":
    run_step("reconstruct_lowlevel", main, output="--out")
