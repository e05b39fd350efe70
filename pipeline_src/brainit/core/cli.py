"""What every step's command shares: its log, its settings, its error boundary.

A step is `python -m brainit.steps.<rule>`: paths are flags of their own, the settings it uses
travel as one `--settings` JSON object `{"section": {...}, ...}`, checked by `core.settings`.
"""

import argparse
import json
import logging
import os
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path

from brainit.core.errors import PipelineError
from brainit.core.interruption import EXIT_INTERRUPTED, Interrupted, stop_on_signals
from brainit.core.locks import locked
from brainit.core.settings import Settings, parse_sections

logger = logging.getLogger(__name__)

EXIT_PIPELINE_ERROR = 2


def step_parser(step: str, description: str | None) -> argparse.ArgumentParser:
    """Return the parser of one step, with `--settings` already there."""
    parser = argparse.ArgumentParser(
        prog=f"python -m brainit.steps.{step}", description=description
    )
    parser.add_argument(
        "--settings", required=True, help="JSON object of the settings sections used"
    )
    return parser


def add_work_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a step that continues where it was interrupted."""
    parser.add_argument("--work", type=Path, required=True, help="folder of its checkpoints")
    parser.add_argument("--code", default="", help="digest of the code that makes the outputs")
    parser.add_argument("--checkpoint-minutes", type=float, default=10.0)
    parser.add_argument("--max-hours", type=float, default=0.0, help="of one job; 0: no bound")


def read_settings(text: str) -> Settings:
    """Parse the JSON of `--settings` into settings; sections not given have the paper's values."""
    try:
        sections = json.loads(text)
    except json.JSONDecodeError as error:
        raise PipelineError(
            "--settings", "a JSON object", str(error), "quote it as the log shows"
        ) from error
    return parse_sections(sections)


def add_connections_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag of a step that fetches; see `read_fetching_settings`."""
    parser.add_argument("--connections", type=int, help="at a time; nsd.connections if not given")


def read_fetching_settings(args: argparse.Namespace) -> Settings:
    """Parse `--settings`, where `--connections` comes before `nsd.connections`.

    The workflow gives the flag, so that another number of connections repeats no job.
    """
    settings = read_settings(args.settings)
    if args.connections is None:
        return settings
    given = settings.model_dump(mode="json")
    given["nsd"]["connections"] = args.connections
    return parse_sections(given)


def named_paths(values: Sequence[str]) -> dict[str, Path]:
    """Turn `["subj01=path", ...]` into a dictionary in the order given."""
    pairs: dict[str, Path] = {}
    for value in values:
        name, separator, path = value.partition("=")
        if not separator or not name or not path:
            raise PipelineError(
                f"argument {value!r}", "NAME=PATH", value, "write e.g. subj01=betas.npy"
            )
        pairs[name] = Path(path)
    return pairs


def run_step(
    step: str, main: Callable[[Sequence[str] | None], None], output: str | None = None
) -> None:
    """Run a step's `main` with logging, a first line of versions, and the error boundary.

    `output` is the flag of what a long step writes (`--bit`): while it runs, no other job may write
    it. SIGTERM and SIGUSR1 end the step with status 75, a training's after its checkpoint. Of
    processes that torchrun started, the first holds the lock and says how far it is.
    """
    is_first = "TORCHELASTIC_RUN_ID" not in os.environ or os.environ["RANK"] == "0"
    logging.basicConfig(
        level=logging.INFO if is_first else logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(name)s: %(message)s",
        force=True,
    )
    logging.captureWarnings(True)
    versions = " ".join(f"{name} {metadata.version(name)}" for name in ("torch", "numpy"))
    logger.info("step %s, python %s, %s", step, platform.python_version(), versions)
    stop_on_signals()
    sys.exit(guarded(exclusive(main, output if is_first else None)))


def exclusive(
    main: Callable[[Sequence[str] | None], None], output: str | None
) -> Callable[[Sequence[str] | None], None]:
    """Return `main`, run under the lock of the file or folder that the flag `output` names."""
    if output is None:
        return main
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(output, dest="path", type=Path)

    def under_lock(argv: Sequence[str] | None) -> None:
        path = parser.parse_known_args(argv)[0].path
        with locked(path) if path else nullcontext():
            main(argv)

    return under_lock


def guarded(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> int:
    """Call `main(argv)`; print a `PipelineError` as one line and return 2, or return 0.

    An interruption is one line and 75. `BRAINIT_DEBUG=1` shows an error's traceback as well. Any
    other exception is a bug and passes through.
    """
    try:
        main(argv)
    except PipelineError as error:
        if os.environ.get("BRAINIT_DEBUG"):
            raise
        sys.stderr.write(f"ERROR: {error}\n")
        return EXIT_PIPELINE_ERROR
    except Interrupted as interruption:
        sys.stderr.write(f"INTERRUPTED: {interruption}\n")
        return EXIT_INTERRUPTED
    return 0
