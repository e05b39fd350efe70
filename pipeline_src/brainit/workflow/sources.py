"""Where files come from: this machine or the network, and whether its servers have a name."""

import socket
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


def is_remote(source: str) -> bool:
    """Return True if `source` is a network address; a path or file:// is not."""
    return urlsplit(source).scheme not in ("", "file")


def resolution_error(url: str) -> OSError | None:
    """Return the reason why the name of a server cannot be resolved, None where it can.

    Behind a proxy, which resolves names itself, nothing is asked. Without a network the answer may
    take the resolver's time limit.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme in getproxies() and not proxy_bypass(host):
        return None
    try:
        socket.getaddrinfo(host, parts.port or 443)
    except OSError as error:
        return error
    return None
