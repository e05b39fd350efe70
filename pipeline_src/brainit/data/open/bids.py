"""Find files by the entities in their names (BIDS), wherever they lie.

A name is `sub-01_ses-01_space-T1w_desc-X_statmap.nii.gz`: pairs of key and value, a suffix and an
extension. Values are compared without hyphens and without case: one data set writes FFA-1 and FFA1.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from brainit.core.errors import PipelineError
from brainit.data.fetch.listing import ListedFile

_N_SHOWN = 5


@dataclass(frozen=True)
class BidsName:
    """Entities (normalised values by key), suffix and extension (with its dot) of a file name."""

    entities: dict[str, str]
    suffix: str
    extension: str


def plain(value: str) -> str:
    """Return a value as it is compared: no hyphens, one case."""
    return value.replace("-", "").casefold()


def parse_name(name: str) -> BidsName:
    """Return the parts of a file name; a name without entities has a suffix alone."""
    stem, dot, extension = name.partition(".")
    *pairs, suffix = stem.split("_")
    entities = {}
    for pair in pairs:
        key, _, value = pair.partition("-")
        entities[key] = plain(value)
    return BidsName(entities, suffix, dot + extension)


def matching(
    files: Iterable[ListedFile], suffix: str, extension: str, **entities: str | None
) -> list[ListedFile]:
    """Return the files of this suffix and extension that have all `entities`.

    A value of None means that the name lacks the entity.
    """
    wanted = {key: None if v is None else plain(v) for key, v in entities.items()}
    found = []
    for file in files:
        name = parse_name(file.name)
        if (name.suffix, name.extension) != (suffix, extension):
            continue
        if all(name.entities.get(key) == value for key, value in wanted.items()):
            found.append(file)
    return found


def only(found: list[ListedFile], source: str, what: str, fix: str) -> ListedFile:
    """Return the one file found; raise `PipelineError` for none and for several."""
    if len(found) == 1:
        return found[0]
    if not found:
        raise PipelineError(source, what, "no such file in its list", fix, code="missing-file")
    keys = ", ".join(file.key for file in found[:_N_SHOWN])
    found_text = f"{len(found)} files: {keys}"
    raise PipelineError(source, f"one file: {what}", found_text, fix, code="duplicate-data")
