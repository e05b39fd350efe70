"""Find the files of a published recording anywhere below a folder.

Symbolic links to folders are followed, files that systems put beside others are passed over, and
two different files of one name are refused: the first by alphabet may be the wrong one.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from stat import S_ISDIR

from brainit.core.errors import PipelineError
from brainit.core.files import SIDE_FOLDERS, is_side_file, sha256_of
from brainit.core.reading import reading
from brainit.data.lab.image_identity import image_id


def files_below(root: Path) -> Iterator[Path]:
    """Yield all files below `root`, sorted within each folder.

    A folder that links lead to comes under each of its names, but not below itself. Raises
    `PipelineError` for a folder that does not exist or cannot be read.
    """
    fix = "name the folder of the unpacked files"
    with reading(root, "a folder", fix):
        mode = os.stat(root).st_mode
    if not S_ISDIR(mode):
        raise PipelineError(root, "a folder", "a file", fix, code="missing-file")
    with reading(root, "a readable folder", fix):
        yield from _files_in(root, frozenset())


def _files_in(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    """Yield the files in and below a folder; `above` are device and inode of those it lies in."""
    stat = os.stat(folder)
    here = (stat.st_dev, stat.st_ino)
    if here in above:  # a link to a folder above
        return
    paths = [folder / name for name in sorted(os.listdir(folder))]
    yield from (path for path in paths if path.is_file() and not is_side_file(Path(path.name)))
    for path in paths:
        if path.name not in SIDE_FOLDERS and path.is_dir():
            yield from _files_in(path, above | {here})


def find_file(root: Path, name: str, fix: str) -> Path:
    """Return the one file of this name below `root`.

    Raises `PipelineError` where there is none, and where two of different content have the name.
    """
    found = [path for path in files_below(root) if path.name == name]
    if not found:
        raise PipelineError(root, name, "no such file", fix, code="missing-file")
    return _only(root, name, found)


def find_files(root: Path, matches: Callable[[Path], bool]) -> list[Path]:
    """Return the files below `root` that `matches`, which gets the path within `root`.

    A file whose folder has several names, by links, counts once.
    """
    found: dict[Path, Path] = {}
    for path in files_below(root):
        if matches(path.relative_to(root)):
            found.setdefault(path.parent.resolve() / path.name, path)
    return list(found.values())


def find_images(root: Path, names: list[str], fix: str) -> dict[str, Path]:
    """Return the file of each name anywhere below `root`; the suffix may differ.

    Raises `PipelineError` with the number of missing images and `fix`, and where two files of
    different content, or two names, are one image.
    """
    by_name: dict[str, list[Path]] = {}
    by_stem: dict[str, list[Path]] = {}
    for path in files_below(root):
        by_name.setdefault(image_id(path.name, is_row=False), []).append(path)
        by_stem.setdefault(image_id(path.stem, is_row=False), []).append(path)
    files: dict[str, Path] = {}
    missing = []
    for name in names:
        key = image_id(name, is_row=False)
        candidates = by_name.get(key) or by_stem.get(Path(key).stem) or by_stem.get(key)
        if candidates:
            files[name] = _only(root, name, candidates)
        else:
            missing.append(name)
    if missing:
        found = f"no {missing[0]} and {len(missing) - 1} more missing"
        raise PipelineError(root, f"{len(names)} images", found, fix, code="missing-file")
    _refuse_second_names(root, files)
    return files


def _only(root: Path, name: str, candidates: list[Path]) -> Path:
    """Return the first of several copies; raise `PipelineError` for files that differ."""
    first, *others = candidates
    for other in others:
        if first.samefile(other):
            continue
        if first.stat().st_size != other.stat().st_size or sha256_of(first) != sha256_of(other):
            found = f"{first.relative_to(root)} and {other.relative_to(root)}, which differ"
            fix = "keep one of them, or name a folder that holds only the release"
            raise PipelineError(root, f"one file {name}", found, fix, code="duplicate-data")
    return first


def _refuse_second_names(root: Path, files: dict[str, Path]) -> None:
    """Raise `PipelineError` where two names lead to one file: it could train and test."""
    name_of: dict[Path, str] = {}
    for name, path in files.items():
        other = name_of.setdefault(path, name)
        if other != name:
            found = f"{other} and {name} both lead to {path.relative_to(root)}"
            fix = "give the file one name in the lists"
            raise PipelineError(root, "one name per image", found, fix, code="duplicate-data")
