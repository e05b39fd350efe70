"""Digests that compare two runs which should end alike."""

import hashlib
from pathlib import Path

NOT_COMPARED = ("logs", "benchmarks", ".snakemake_timestamp", "work")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digests(root: Path) -> dict[str, str]:
    """Return the digest of each result below `root`."""
    found = {}
    for path in sorted((root / "results").rglob("*")):
        parts = path.relative_to(root / "results").parts
        if path.is_file() and not set(parts) & set(NOT_COMPARED):
            found["/".join(parts)] = digest(path)
    return found
