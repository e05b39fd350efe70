"""Draw images, scores, learning curves, and maps of ceilings, clusters and attention."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import named_paths, read_settings, run_step, step_parser
from brainit.core.seeds import use_threads
from brainit.report.figures import FigureInputs, make_figures


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser("make_figures", __doc__)
    for name in ("voxels", "betas", "trials"):
        parser.add_argument(f"--{name}", nargs="+", required=True, help="subj01=PATH ...")
    for name in ("stimuli", "encoder", "clusters"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--bit", type=Path, required=True, help="semantic BIT after stage 2")
    parser.add_argument("--histories", nargs="*", default=[], help="all/encoder=PATH ...")
    parser.add_argument("--metrics", nargs="+", required=True, help="subj01/40h/fused=PATH ...")
    parser.add_argument("--summaries", nargs="+", required=True, help="subj01/40h/fused=PATH ...")
    parser.add_argument("--recon", nargs="+", required=True, help="subj01/40h=FOLDER ...")
    parser.add_argument("--truth", type=Path, help="truth of a simulation")
    parser.add_argument("--card", type=Path, help="card of a simulation (not drawn)")
    parser.add_argument("--weights", type=Path, help="folder of published weights")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    settings = read_settings(args)
    use_threads(settings.run.threads)
    names = ("voxels", "betas", "trials", "histories", "metrics", "summaries")
    files = {name: named_paths(getattr(args, name)) for name in names}
    inputs = FigureInputs(
        **files,
        stimuli=args.stimuli,
        encoder=args.encoder,
        clusters=args.clusters,
        bit=args.bit,
        recons=named_paths(args.recon),
        truth=args.truth,
        weights_dir=args.weights,
    )
    make_figures(inputs, args.out, settings)


if __name__ == "__main__":
    run_step("make_figures", main)
