"""Fetch and verify everything of NSD and COCO but the betas (paper 5.1)."""

from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import read_settings, run_step, step_parser
from brainit.data.download import download


def main(argv: Sequence[str] | None = None) -> None:
    """Fetch NSD's tree to `--out` and COCO's archive to `--coco-out`; write the manifest."""
    parser = step_parser("download", __doc__)
    parser.add_argument("--source", required=True, help="root of NSD's tree: https:// or a folder")
    parser.add_argument("--coco-source", required=True, help="folder or URL of the COCO archive")
    parser.add_argument("--out", type=Path, required=True, help="root of the fetched tree")
    parser.add_argument("--coco-out", type=Path, required=True, help="fetched archive")
    parser.add_argument("--manifest", type=Path, required=True, help="list of files (.json)")
    args = parser.parse_args(argv)
    nsd = read_settings(args.settings).nsd
    download(args.source, args.coco_source, nsd, args.out, args.coco_out, args.manifest)


if __name__ == "__main__":
    run_step("download", main, output="--out")
