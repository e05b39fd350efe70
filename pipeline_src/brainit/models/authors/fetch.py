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
        place = folder / name
        if not place.is_file():
            found = find_source(Source(name, 0.0, repository=REPOSITORY), folder)
            place.unlink(missing_ok=True)
            place.symlink_to(found.resolve())
