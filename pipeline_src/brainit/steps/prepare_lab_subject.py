"""Check a lab's own subject and make of it what the NSD steps make of theirs (array contract)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import read_settings, run_step, step_parser
from brainit.data.lab.prepare import LabOutputs, import_lab_subject


def main(argv: Sequence[str] | None = None) -> None:
    """Write trials, betas, voxels, noise ceiling and images of `--subject`."""
    parser = step_parser("prepare_lab_subject", __doc__)
    parser.add_argument("--subject", required=True, help="name in the section lab")
    parser.add_argument("--folder", type=Path, required=True, help="the lab's folder")
    parser.add_argument("--trials", type=Path, required=True, help="trial table to write (.csv)")
    parser.add_argument(
        "--images", type=Path, required=True, help="names of images to write (.csv)"
    )
    parser.add_argument("--stimuli", type=Path, required=True, help="folder of shards to write")
    parser.add_argument("--betas", type=Path, required=True, help="betas to write (.npy)")
    parser.add_argument("--voxels", type=Path, required=True, help="voxel table to write")
    parser.add_argument("--summary", type=Path, required=True, help="summary to write (.json)")
    parser.add_argument("--ceiling", type=Path, required=True, help="noise ceilings to write")
    parser.add_argument("--ceiling-summary", type=Path, required=True, help="table to write (.csv)")
    args = parser.parse_args(argv)
    outputs = LabOutputs(
        trials=args.trials,
        images=args.images,
        stimuli=args.stimuli,
        betas=args.betas,
        voxels=args.voxels,
        summary=args.summary,
        ceiling=args.ceiling,
        ceiling_summary=args.ceiling_summary,
    )
    import_lab_subject(args.folder, args.subject, read_settings(args), outputs)


if __name__ == "__main__":
    run_step("prepare_lab_subject", main)
