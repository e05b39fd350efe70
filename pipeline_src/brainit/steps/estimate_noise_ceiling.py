"""Recompute the noise ceiling of a subject and compare it with NSD's (NSD paper; paper 5.1)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.artifacts import write_artifact, write_table
from brainit.core.cli import run_step, step_parser
from brainit.data.noise_ceiling import N_REPEATS, estimate_noise_ceiling


def main(argv: Sequence[str] | None = None) -> None:
    """Write both noise ceilings of `--subject` and their comparison."""
    parser = step_parser("estimate_noise_ceiling", __doc__)
    parser.add_argument("--subject", required=True, help="subj01 to subj08")
    parser.add_argument("--betas", type=Path, required=True, help="betas (.npy)")
    parser.add_argument("--voxels", type=Path, required=True, help="voxel table")
    parser.add_argument("--trials", type=Path, required=True, help="trial table (.csv)")
    parser.add_argument("--out", type=Path, required=True, help="ceilings to write")
    parser.add_argument("--summary", type=Path, required=True, help="comparison to write (.csv)")
    args = parser.parse_args(argv)
    tensors, summary = estimate_noise_ceiling(args.subject, args.betas, args.voxels, args.trials)
    attributes = {"subject": args.subject, "n_repeats": N_REPEATS}
    write_artifact(args.out, "noise_ceiling", tensors, attributes)
    write_table(args.summary, summary)


if __name__ == "__main__":
    run_step("estimate_noise_ceiling", main)
