"""Where files come from: this machine or the network."""

from urllib.parse import urlsplit


def is_remote(source: str) -> bool:
    """Return True if `source` is a network address; a path or file:// is not."""
    return urlsplit(source).scheme not in ("", "file")
