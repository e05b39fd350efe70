"""Where the authors' published checkpoints come from (hub: RomanBeliy/Brain-IT)."""

from pathlib import Path

from brainit.features.registry_entries import Source
from brainit.features.weights_fetch import find_source
from brainit.models.authors.convert import ALL_FILES

REPOSITORY = "RomanBeliy/Brain-IT"


def fetch_authors(folder: Path) -> None:
    """Put links to all of the authors' files into `folder`.

    They are looked for as weights are: in the folder that BRAINIT_WEIGHTS names, in the hub's
    cache, on the hub; what stands in `folder` already is kept. Raises `PipelineError` that names
    the first file that is not to be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ALL_FILES:
        place = folder / name
        if not place.is_file():
            found = find_source(Source(name, 0.0, repository=REPOSITORY), folder)
            place.unlink(missing_ok=True)
            place.symlink_to(found.resolve())
