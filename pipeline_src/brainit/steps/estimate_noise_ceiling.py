"""Recompute the noise ceiling of a subject and compare it with NSD's (NSD paper; paper 5.1)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.artifacts import write_artifact, write_table
from brainit.core.cli import read_settings, run_step, step_parser
from brainit.data.noise_ceiling import N_REPEATS
from brainit.data.nsd.quality import PreparedFiles, estimate_noise_ceiling
from brainit.report.ceiling_figure import draw_noise_ceiling


def main(argv: Sequence[str] | None = None) -> None:
    """Write both noise ceilings of `--subject` and their comparison."""
    parser = step_parser("estimate_noise_ceiling", __doc__)
    parser.add_argument("--subject", required=True, help="subj01 to subj08")
    parser.add_argument("--nsd", type=Path, help="fetched tree (masks); left out if not of NSD")
    parser.add_argument("--source", default="", help="root of the tree that held the betas")
    parser.add_argument("--betas", type=Path, required=True, help="betas (.npy)")
    parser.add_argument("--voxels", type=Path, required=True, help="voxel table")
    parser.add_argument("--betas-summary", type=Path, required=True, help="their summary (.json)")
    parser.add_argument("--trials", type=Path, required=True, help="trial table (.csv)")
    parser.add_argument("--out", type=Path, required=True, help="ceilings to write")
    parser.add_argument("--summary", type=Path, required=True, help="comparison to write (.csv)")
    parser.add_argument("--sessions", type=Path, required=True, help="sessions to write (.csv)")
    parser.add_argument("--figure", type=Path, required=True, help="figure to write (.png)")
    args = parser.parse_args(argv)
    settings = read_settings(args)
    files = PreparedFiles(args.betas, args.voxels, args.betas_summary, args.trials)
    found = estimate_noise_ceiling(args.subject, files, settings.nsd, args.nsd, args.source)
    simulated = settings.run.simulation
    draw_noise_ceiling(found.tensors, found.summary, found.sessions, args.figure, simulated)
    write_table(args.sessions, found.sessions)
    write_table(args.summary, found.summary)
    attributes = {"subject": args.subject, "n_repeats": N_REPEATS}
    write_artifact(args.out, "noise_ceiling", found.tensors, attributes)


if __name__ == "__main__":
    run_step("estimate_noise_ceiling", main)
