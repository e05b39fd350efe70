"""Fetch the authors' published checkpoints (hub: RomanBeliy/Brain-IT)."""

from pathlib import Path

from brainit.features.registry_entries import Source
from brainit.features.weights_fetch import find_source
from brainit.models.authors.convert import ALL_FILES

REPOSITORY = "RomanBeliy/Brain-IT"


def fetch_authors(folder: Path) -> None:
    """Put links to all of the authors' files into `folder`.

    Files are searched like weights: in the folder that BRAINIT_WEIGHTS names, in the hub's cache,
    on the hub. Files already in `folder` are kept. Raises `PipelineError` that names the first file
    not found.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ALL_FILES:
        link = folder / name
        if not link.is_file():
            downloaded = find_source(Source(name, 0.0, repository=REPOSITORY), folder)
            link.unlink(missing_ok=True)
            link.symlink_to(downloaded.resolve())
