"""Put the published weights of one network where the steps look for them.

This version does not download them: a file `<network>.safetensors` is taken from the folder that
the environment variable BRAINIT_WEIGHTS names.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import run_step, step_parser
from brainit.core.files import atomic_path
from brainit.features.registry import find_entry, require_weights


def main(argv: Sequence[str] | None = None) -> None:
    """Link or copy the weights of `--network` to `--out`."""
    parser = step_parser("fetch_weights", __doc__)
    parser.add_argument("--network", required=True, help="name of the registry's entry")
    parser.add_argument("--out", type=Path, required=True, help="where the steps look for it")
    args = parser.parse_args(argv)
    folder = Path(os.environ.get("BRAINIT_WEIGHTS", "weights"))
    source = require_weights(find_entry(args.network), folder)
    with atomic_path(args.out) as partial:
        shutil.copyfile(source, partial)


if __name__ == "__main__":
    run_step("fetch_weights", main, output="--out")
