"""LAION-fMRI's images: the user's own request id, signed links, and files of one subject's images.

The agreement is between the user and the data set's owners: the form is never filled in here. The
service gives links for one hour to who has a request id; a link that expires in the middle of a
download is renewed, and the part continues. `images` (HDF5) holds one encoded file per row, JPEG or
PNG; its rows are those of `task-images_metadata.csv`. PNG are composited on mid grey, as they were
shown. The terms forbid passing images on: folders of images, and the file of all images where it is
kept, are for the owner of the account alone.
"""

import io
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import requests
from PIL import Image
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from brainit.core.artifacts import TABLE_ERRORS
from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path, sha256_of
from brainit.core.hdf5 import HDF5_ERRORS, open_hdf5, own_dataset
from brainit.core.progress import progress
from brainit.core.reading import read_json, reading
from brainit.data.fetch.remote import TransientError, connection_failure
from brainit.data.fetch.sources import download_file
from brainit.data.image_files import IMAGE_ERRORS
from brainit.data.open.session_store import PRIVATE_FOLDER
from brainit.workflow.terms import LAION_REQUEST_FILE, LAION_REQUEST_ID

logger = logging.getLogger(__name__)

SERVICE = os.environ.get("LAION_FMRI_ACCESS_URL", "https://laion-fmri.hebartlab.com").rstrip("/")
IMAGES_FILE, TABLE_FILE = "task-images_stimuli.h5", "task-images_metadata.csv"
_DATASET = "images"
_TIMEOUT_S = 30.0
_ATTEMPTS = 4
_FIRST_WAIT_S = 1.0
_GREY = 128
"""Mid grey, behind the transparent parts of an image."""


def request_id(given: str | None) -> str | None:
    """Return the user's request id: given, in the environment, or kept by the owners' package."""
    if given or os.environ.get(LAION_REQUEST_ID):
        return (given or os.environ[LAION_REQUEST_ID]).strip()
    path = Path.home() / LAION_REQUEST_FILE
    if not path.is_file():
        return None
    content = read_json(path, "a request id", f"remove it, or set {LAION_REQUEST_ID}")
    found = content.get("request_id") if isinstance(content, dict) else None
    return found if isinstance(found, str) and found else None


@dataclass(frozen=True)
class SignedFile:
    """A file of the service: its link for an hour, bytes and SHA-256."""

    url: str
    n_bytes: int
    sha256: str


class ImageService:
    """The service that gives links to who has a request id."""

    def __init__(self, request: str | None, address: str = SERVICE) -> None:
        self.address = address
        if request is None:
            raise PipelineError(
                f"{address}/terms",
                "a request id for LAION-fMRI's images",
                f"none in --request-id and {LAION_REQUEST_ID}",
                f"read the agreement, ask for access ({address}/request), then set"
                f" {LAION_REQUEST_ID} to your id; or pass --images FILE with images that you have",
                code="terms",
            )
        self._request = request

    def links(self) -> dict[str, SignedFile]:
        """Return a fresh link of each file; raises `PipelineError` for each kind of refusal."""
        attempts = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential(_FIRST_WAIT_S),
            reraise=True,
        )
        try:
            content = attempts(self._ask)
        except TransientError as error:
            fix = "run the same command again later: it continues"
            raise PipelineError(
                self.address, "links to the images", f"{error}", fix, code="network"
            ) from error
        try:
            return {
                file["name"]: SignedFile(file["url"], int(file["size"]), file["sha256"])
                for file in content["files"]
            }
        except (KeyError, TypeError, ValueError) as error:
            fix = "get the images by the owners' package, and pass --images FILE"
            raise PipelineError(
                self.address,
                "files with name, url, size, sha256",
                repr(error),
                fix,
                code="wrong-kind",
            ) from error

    def _ask(self) -> Any:
        url = f"{self.address}/api/v1/refresh"
        body = {"request_id": self._request, "dataset_version": "v1"}
        try:
            answer = requests.post(url, json=body, timeout=_TIMEOUT_S)
            content = answer.json()
        except requests.exceptions.JSONDecodeError:
            content = {}
        except requests.RequestException as error:
            raise connection_failure(url, error) from error
        if answer.ok:
            return content
        detail = content.get("detail", content) if isinstance(content, dict) else content
        raise self._refusal(answer.status_code, detail)

    def _refusal(self, status: int, detail: Any) -> Exception:
        """Return the error of a refusal: outdated terms, a revoked or an unknown id, too many."""
        if status >= 500 or status == 429:
            return TransientError(f"HTTP {status} {detail}")
        is_outdated = isinstance(detail, Mapping) and detail.get("error") == "terms_outdated"
        if status == 403 and is_outdated:
            page = detail.get("accept_url", f"{self.address}/terms")
            version = detail.get("current_terms_version", "newer")
            found = f"terms of version {version} that you have not accepted"
            fix = f"read and accept them ({page}), then run the same command again"
        elif status == 403 and "revoked" in str(detail).lower():
            found = "a revoked request id"
            fix = f"ask the owners ({self.address}), or ask for a new id ({self.address}/request)"
        elif status == 404:
            found = "a request id that the service does not know"
            fix = f"correct {LAION_REQUEST_ID}, or ask for access ({self.address}/request)"
        else:
            found, fix = f"HTTP {status} {detail}", f"ask the owners ({self.address})"
        expected = "a request id that gives access to the images"
        return PipelineError(self.address, expected, found, fix, code="terms")

    def fetch(self, name: str, target: Path) -> None:
        """Download a file of the service, with new links whenever one expires, and check it.

        Raises `PipelineError` for refusals, a link that is refused twice without a byte between,
        and another size or SHA-256.
        """
        n_last = -1
        while not target.is_file():
            signed = self._link_of(name)
            try:
                download_file(signed.url, target, n_bytes=signed.n_bytes)
            except PipelineError as error:
                part = target.with_name(f".{target.name}.part")
                n_bytes = part.stat().st_size if part.is_file() else 0
                is_refused = error.code == "network" and "HTTP 403" in error.found
                if not is_refused or n_bytes <= n_last:
                    raise
                n_last = n_bytes
                logger.info(
                    "%s: the link expired after %d bytes; a new one continues", name, n_bytes
                )
        signed = self._link_of(name)
        if (found := sha256_of(target)) != signed.sha256:
            target.unlink()
            fix = "run the same command again: it fetches the file anew"
            expected = f"SHA-256 {signed.sha256}"
            raise PipelineError(target, expected, found, fix, code="checksum")

    def _link_of(self, name: str) -> SignedFile:
        links = self.links()
        if name not in links:
            fix = "get the images by the owners' package, and pass --images FILE"
            raise PipelineError(self.address, name, f"{sorted(links)}", fix, code="missing-data")
        return links[name]


def read_image_names(path: Path, n_rows: int | None = None) -> list[str]:
    """Return the image of each row of the images' file; raises `PipelineError`.

    `n_rows` is the number of rows that the images' file has, None where it is not known.
    """
    fix = f"take {TABLE_FILE} of the same version as {IMAGES_FILE}"
    expected = "a table with the column image_name"
    with reading(path, expected, fix, *TABLE_ERRORS):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if "image_name" not in table:
        raise PipelineError(path, expected, f"{list(table)}", fix, code="missing-data")
    if n_rows is not None and len(table) != n_rows:
        found = f"{len(table)} rows"
        raise PipelineError(path, f"{n_rows} rows", found, fix, code="inconsistent-inputs")
    return table["image_name"].tolist()


def write_images(source: Path, table: Path, names: Sequence[str], folder: Path) -> dict[str, Path]:
    """Write the images of `names` as files of these names to `folder`, for its owner alone.

    JPEG stay byte for byte; images with transparent parts become PNG on mid grey. Images that are
    there already stay. Raises `PipelineError` for another kind of file, missing images and rows
    that hold no image.
    """
    fix = f"pass {IMAGES_FILE} of LAION-fMRI, with {TABLE_FILE} beside it"
    expected = f"HDF5 with '{_DATASET}', one encoded image per row"
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    folder.chmod(PRIVATE_FOLDER)
    files = {name: folder / name for name in names}
    with reading(source, expected, fix, *HDF5_ERRORS), open_hdf5(source) as handle:
        dataset = own_dataset(handle, _DATASET)
        if dataset is None or dataset.ndim != 1:
            raise PipelineError(source, expected, f"{sorted(handle)}", fix, code="missing-data")
        row_of = {name: row for row, name in enumerate(read_image_names(table, len(dataset)))}
        missing = sorted(set(names) - set(row_of))
        if missing:
            found = f"{len(missing)} that it lacks, as {missing[0]!r}"
            raise PipelineError(table, "all images shown", found, fix, code="missing-data")
        for name in progress(sorted(names, key=row_of.__getitem__), "images", unit="image"):
            if not files[name].is_file():
                content = np.asarray(dataset[row_of[name]], dtype=np.uint8).tobytes()
                _write_image(f"{source} row {row_of[name]}", content, files[name], fix)
    return files


def _write_image(where: str, content: bytes, path: Path, fix: str) -> None:
    with reading(where, "an encoded image", fix, *IMAGE_ERRORS):
        image = Image.open(io.BytesIO(content))
        has_alpha = "A" in image.getbands() or "transparency" in image.info
        shown = on_grey(image) if has_alpha else None
    with atomic_path(path) as partial:
        if shown is None:
            partial.write_bytes(content)
        else:
            shown.save(partial, format="PNG")


def on_grey(image: Image.Image) -> Image.Image:
    """Return an image with transparent parts in RGB, over mid grey."""
    over = image.convert("RGBA")
    behind = Image.new("RGBA", over.size, (_GREY, _GREY, _GREY, 255))
    return Image.alpha_composite(behind, over).convert("RGB")
