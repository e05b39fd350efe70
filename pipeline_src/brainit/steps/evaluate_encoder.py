"""Score the encoder on a subject's test images, by part of cortex (beyond the paper)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.artifacts import write_table
from brainit.core.cli import read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.evaluation.encoder import EncoderFiles, evaluate_encoder


def main(argv: Sequence[str] | None = None) -> None:
    """Write the encoder's accuracy for `--subject`."""
    parser = step_parser("evaluate_encoder", __doc__)
    parser.add_argument("--subject", required=True, help="subj01 to subj08")
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--nsd", type=Path, required=True, help="fetched tree (labels)")
    parser.add_argument("--voxels", type=Path, required=True, help="voxel table")
    parser.add_argument("--betas", type=Path, required=True, help="betas (.npy)")
    parser.add_argument("--trials", type=Path, required=True, help="trial table (.csv)")
    parser.add_argument("--stimuli", type=Path, required=True)
    parser.add_argument("--truth", type=Path, help="truth of a simulation")
    parser.add_argument("--weights", type=Path, help="folder of published weights")
    parser.add_argument("--accuracy", type=Path, required=True, help="table to write (.csv)")
    args = parser.parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    files = EncoderFiles(
        encoder=args.encoder,
        nsd=args.nsd,
        voxels=args.voxels,
        betas=args.betas,
        trials=args.trials,
        stimuli=args.stimuli,
        truth=args.truth,
        weights_dir=args.weights,
    )
    write_table(args.accuracy, evaluate_encoder(args.subject, files, settings))


if __name__ == "__main__":
    run_step("evaluate_encoder", main)
