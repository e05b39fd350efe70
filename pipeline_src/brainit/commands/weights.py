"""`brainit weights list | fetch | verify`: the published networks' weights."""

import argparse
import logging
from pathlib import Path
from typing import Any

from brainit.core.settings import Settings
from brainit.features.registry import find_entry
from brainit.features.registry_entries import ENTRIES, BackboneEntry
from brainit.features.weights_fetch import fetch_weights, verify_weights

logger = logging.getLogger(__name__)


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser("weights", help="list, fetch or verify the published networks")
    parser.add_argument("action", choices=("list", "fetch", "verify"))
    parser.add_argument("names", nargs="*", help="networks (default: those of the paper's config)")
    parser.add_argument(
        "--folder", type=Path, help="folder of the weights (default: results/.store/weights)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """List, fetch or verify the named networks, one by one."""
    settings = Settings()
    folder = args.folder or Path(settings.paths.store) / "weights"
    if args.action == "list":
        for line in list_lines(folder):
            logger.info("%s", line)
        return
    for entry in _entries(args.names, settings):
        if args.action == "fetch":
            fetch_weights(entry, folder / entry.file)
        logger.info("%s: %s", entry.name, verify_weights(entry, folder))


def list_lines(folder: Path) -> list[str]:
    """Return a table of the published networks with the first digits of known SHA-256 checksums."""
    lines = ["role | name | MB | licence | used by | source | SHA-256 | here"]
    for entry in ENTRIES:
        if not entry.is_demo:
            here = "yes" if (folder / entry.file).is_file() else "no"
            users = " ".join(entry.used_by)
            cells = (entry.role, entry.name, f"{entry.size_mb:g}", entry.licence, users)
            digests = " and ".join(source.sha256[:8] or "not stated" for source in entry.sources)
            lines.append(" | ".join((*cells, entry.source, digests, here)))
    return lines


def _entries(names: list[str], settings: Settings) -> list[BackboneEntry]:
    """Return the named published networks; without names, those of the paper's settings."""
    chosen = settings.features
    roles = ("encoder_backbone", "semantic_tokens", "vgg", "generator", "refiner")
    wanted = names or [*(getattr(chosen, role) for role in roles), *chosen.metrics]
    entries = [find_entry(name) for name in wanted if name != "none"]
    return [entry for entry in entries if not entry.is_demo]
