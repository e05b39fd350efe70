"""`brainit measure -- COMMAND`: run a command; print wall time and peak memory of its processes."""

import argparse
import contextlib
import logging
import subprocess
import sys
import time
from typing import Any

import psutil

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_SAMPLES = 0.5


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser("measure", help="run a command; print its time and peak memory")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="the command, after --")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Run the command and exit with its exit code.

    The peak is the largest sum of the resident memory of all its processes, sampled twice a second.
    Pages that several processes share count once per process.
    """
    command = args.words[1:] if args.words[:1] == ["--"] else args.words
    started = time.monotonic()
    process = subprocess.Popen(command)
    peak_bytes = 0
    while process.poll() is None:
        peak_bytes = max(peak_bytes, _tree_bytes(process.pid))
        time.sleep(_SECONDS_BETWEEN_SAMPLES)
    elapsed_s = time.monotonic() - started
    logger.info("%.1f min, peak memory %.2f GB", elapsed_s / 60, peak_bytes / 1e9)
    sys.exit(process.returncode)


def _tree_bytes(pid: int) -> int:
    total = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for member in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += member.memory_info().rss
    return total
