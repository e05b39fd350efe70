"""List the files of a source: a folder, or an S3 bucket (anonymously)."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from brainit.core.errors import PipelineError
from brainit.core.reading import reading
from brainit.data.fetch.remote import TransientError, UnknownHostError, list_s3
from brainit.workflow.sources import is_remote

_ATTEMPTS = 4
_FIRST_WAIT_S = 1.0


@dataclass(frozen=True)
class ListedFile:
    """A file of a source: its key (the path below the source) and its bytes."""

    key: str
    n_bytes: int

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]


def list_files(source: str, prefix: str = "") -> list[ListedFile]:
    """Return the files of `source` whose key begins with `prefix`, in the order of their keys.

    `source` is a folder (path or file://) or s3://BUCKET; a failed listing is tried again. Raises
    `PipelineError` for another scheme, for refusals, a server that does not answer and a folder
    that does not exist.
    """
    if not is_remote(source):
        return _files_of_folder(source, prefix)
    if urlsplit(source).scheme != "s3":
        raise PipelineError(
            source,
            "s3://BUCKET or a folder, whose files can be listed",
            f"{urlsplit(source).scheme}://",
            "name the bucket as s3://BUCKET, or a folder with a copy of it",
            code="invalid-argument",
        )
    root = source.rstrip("/")
    above = urlsplit(root).path.lstrip("/")
    attempts = Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_exponential(_FIRST_WAIT_S),
        reraise=True,
    )
    try:
        found = attempts(lambda: list(list_s3(f"{root}/{prefix}")))
    except TransientError as error:
        is_offline = isinstance(error, UnknownHostError)
        fix = "connect this machine to the network" if is_offline else "try again later"
        raise PipelineError(
            source,
            "a list of the files",
            f"{error}",
            f"{fix}, or name a folder with a copy of the files",
            code="network",
        ) from error
    n_above = len(above) + 1 if above else 0
    return [ListedFile(key[n_above:], n_bytes) for key, n_bytes in found]


def _files_of_folder(source: str, prefix: str) -> list[ListedFile]:
    parts = urlsplit(source)
    root = Path(unquote(parts.path)) if parts.scheme == "file" else Path(source)
    fix = "name a folder with a copy of the files, or the bucket as s3://BUCKET"
    with reading(root, "a folder", fix):
        if not root.is_dir():
            found = "a file" if root.exists() else "none"
            raise PipelineError(root, "a folder", found, fix, code="missing-file")
        below = root / prefix.rpartition("/")[0]
        paths = sorted(path for path in below.rglob("*") if path.is_file())
        listed = [ListedFile(str(p.relative_to(root)), p.stat().st_size) for p in paths]
    return [file for file in listed if file.key.startswith(prefix)]
