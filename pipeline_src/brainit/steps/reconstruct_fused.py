"""Sample images of a shard of test images from low-level image and semantic tokens (3.3, D.3)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.reconstruction.parts import write_part
from brainit.reconstruction.predictions import DecodingJob
from brainit.reconstruction.semantic import reconstruct_semantic


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("reconstruct_fused", __doc__)
    parser.add_argument("--subject", required=True)
    parser.add_argument("--betas", type=Path, required=True)
    parser.add_argument("--trials", type=Path, required=True)
    parser.add_argument("--bit", type=Path, required=True, help="semantic BIT after stage 2")
    parser.add_argument("--generator", type=Path, required=True, help="generator after stage 2")
    parser.add_argument("--lowlevel", type=Path, required=True, help="low-level shard")
    parser.add_argument("--shard", default="0/1", help="k/n: shard k, from 0, of n")
    parser.add_argument("--weights", type=Path, help="folder of published weights")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    job = DecodingJob(args.subject, args.betas, args.trials, args.bit, args.shard, args.weights)
    write_part(args.out, reconstruct_semantic(job, args.generator, settings, args.lowlevel))


if __name__ == "__main__":
    run_step("reconstruct_fused", main, output="--out")
