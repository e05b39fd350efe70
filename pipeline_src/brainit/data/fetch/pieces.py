"""One large file over several connections: pieces of one version, each asked for by its range."""

from contextlib import suppress
from functools import partial
from threading import Event

from brainit.core.errors import PipelineError
from brainit.data.fetch import part_files
from brainit.data.fetch.part_files import PartFile
from brainit.data.fetch.remote import (
    RangeError,
    RemoteStream,
    TransientError,
    is_strong,
    open_remote,
)
from brainit.data.fetch.threads import run_all


def is_worth_splitting(stream: RemoteStream) -> bool:
    """Return whether a file is large, and its version can be told from any other."""
    n_bytes = stream.n_bytes or 0
    return n_bytes >= 2 * part_files.PIECE_BYTES and is_strong(stream.etag)


def fetch_pieces(part: PartFile, n_connections: int) -> None:
    """Fetch what is not there, so many pieces at a time; the first failure ends them all.

    Raises as `open_remote`, and `RangeError` where the server ignores ranges or has another version
    by now, and `Stopped` where the file is to end. What has come by then stays and is noted.
    """
    is_over = Event()
    missing = [k for k, n_there in enumerate(part.pieces) if n_there < part.length(k)]
    calls = [partial(_fetch_unless_over, part, number, is_over) for number in missing]
    try:
        run_all(calls, n_connections, is_over, patience_s=None)
    finally:
        # On a full disk there may be no note: the pieces under way then come again.
        with suppress(PipelineError, OSError):
            part.save()


def _fetch_unless_over(part: PartFile, number: int, is_over: Event) -> None:
    if is_over.is_set():
        return
    try:
        _fetch_piece(part, number, is_over)
    except BaseException:
        is_over.set()
        raise


def _fetch_piece(part: PartFile, number: int, is_over: Event) -> None:
    first, n_whole = number * part_files.PIECE_BYTES, part.length(number)
    start = first + part.pieces[number]
    with open_remote(part.url, start, part.etag, first + n_whole - 1) as stream:
        if (stream.etag, stream.n_bytes) != (part.etag, part.n_bytes):
            raise RangeError(f"the file changed between two parts (ETag {stream.etag})")
        if stream.offset != start:
            raise RangeError("the server ignores ranges")
        with part.path.open("r+b") as handle:
            handle.seek(start)
            for block in stream.blocks:
                wanted = block[: n_whole - part.pieces[number]]
                handle.write(wanted)
                handle.flush()  # what is counted must be in the file: a note may be written now
                part.pieces[number] += len(wanted)
                part.tell(len(wanted))
                part.go_on()
                if is_over.is_set() or part.pieces[number] == n_whole:
                    break
    if part.pieces[number] == n_whole:
        part.save()
    elif not is_over.is_set():
        raise TransientError(f"the connection broke in piece {number} of {len(part.pieces)}")
