"""Shards of a reconstruction: which test images a job decodes, and its output file.

A shard is a range of whole blocks of consecutive test images. A block is a whole number of DIP
chunks and of sampler batches, so that the same images are computed together, with the same
rounding, however many jobs there are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainit.core.artifacts import read_artifact, write_artifact
from brainit.core.errors import PipelineError
from brainit.core.files import sha256_of
from brainit.core.reading import reading
from brainit.core.settings import Settings
from brainit.core.shards import shard_ranges

CONTRACT = "recon_shard"
COPIES_STIMULI = "copies_stimuli"
"""Attribute of images that are stimuli, or means of some: as private as those are."""


@dataclass(frozen=True)
class Part:
    """Reconstructions of some test images: `image` is uint8 (images, height, width, rgb).

    `unrefined` are the images before the refiner; None without one.
    """

    nsd_id: NDArray[np.int64]
    image: NDArray[np.uint8]
    attributes: Mapping[str, Any]
    unrefined: NDArray[np.uint8] | None = None


def parse_shard(text: str) -> tuple[int, int]:
    """Turn "k/n" into (k, n): shard k, counted from 0, of n. Raises `PipelineError`."""
    number, separator, count = text.partition("/")
    if separator and number.isdigit() and count.isdigit() and int(number) < int(count):
        return int(number), int(count)
    raise PipelineError(
        "--shard", "k/n with 0 <= k < n", repr(text), "write e.g. 0/1", code="invalid-argument"
    )


def block_size(settings: Settings) -> int:
    """Return the images of a block: the least common multiple of DIP chunk and sampler batch."""
    return math.lcm(settings.dip.chunk, settings.recon.batch)


def shard_of(
    images: NDArray[np.int64], number: int, n_shards: int, block: int
) -> NDArray[np.int64]:
    """Return the images of shard `number`: whole blocks, spread evenly; may be empty."""
    blocks = shard_ranges(len(images), block)
    first, last = (i * len(blocks) // n_shards for i in (number, number + 1))
    if first == last:
        return images[:0]
    return images[blocks[first][0] : blocks[last - 1][1]]


def write_part(path: Path, part: Part) -> None:
    """Write the reconstructions of a shard (artifact `recon_shard`)."""
    nsd_id = part.nsd_id.astype(np.int64)
    tensors: dict[str, NDArray[Any]] = {"nsd_id": nsd_id, "image": part.image}
    if part.unrefined is not None:
        tensors["unrefined"] = part.unrefined
    write_artifact(path, CONTRACT, tensors, part.attributes)


def read_part(path: Path, kind: str, subject: str) -> Part:
    """Read a shard that must hold reconstructions of `kind` of `subject`.

    Raises `PipelineError` for any other file.
    """
    artifact = read_artifact(path, CONTRACT)
    found = (artifact.attributes["kind"], artifact.attributes["subject"])
    if found != (kind, subject):
        raise PipelineError(
            path,
            f"{kind} reconstructions of {subject}",
            f"{found[0]} reconstructions of {found[1]}",
            f"pass only shards of {kind} reconstructions of {subject}",
            code="wrong-kind",
        )
    unrefined = artifact.tensors.get("unrefined")
    return Part(artifact["nsd_id"], artifact["image"], artifact.attributes, unrefined)


def join_parts(paths: Sequence[Path], kind: str, subject: str) -> Part:
    """Join the shards of one kind, sorted by image.

    Raises `PipelineError` where they hold an image twice, or differ in their attributes.
    """
    parts = [read_part(path, kind, subject) for path in paths]
    nsd_id = np.concatenate([part.nsd_id for part in parts])
    fix = f"delete the {kind} shards and rerun reconstruct_{kind}"
    if len(np.unique(nsd_id)) != len(nsd_id):
        found = "an image in two shards"
        raise PipelineError(paths[0], "each image once", found, fix, code="duplicate-data")
    if any(part.attributes != parts[0].attributes for part in parts):
        found = "shards of different settings"
        raise PipelineError(paths[0], "shards of one run", found, fix, code="wrong-settings")
    filled = [part for part in parts if len(part.image)] or parts[:1]
    order = np.argsort(nsd_id)
    image = np.concatenate([part.image for part in filled])[order]
    before = [part.unrefined for part in filled if part.unrefined is not None]
    unrefined = np.concatenate(before)[order] if len(before) == len(filled) else None
    return Part(nsd_id[order], image, parts[0].attributes, unrefined)


def part_attributes(
    subject: str, kind: str, settings: Settings, models: Mapping[str, Path | Mapping[str, str]]
) -> dict[str, Any]:
    """Return the attributes of a shard: subject, kind, seed, threads, models, settings as given.

    `models` are the files by role; each is recorded with its SHA-256, unless its record is given.
    Raises `PipelineError` where one cannot be read.
    """
    sections = {"features": settings.features, "dip": settings.dip, "recon": settings.recon}
    values = {name: section.model_dump(exclude_unset=True) for name, section in sections.items()}
    values["recon"].pop("n_shards", None)
    if baselines := settings.baselines.model_dump(exclude_unset=True):
        values["baselines"] = baselines
    return {
        "subject": subject,
        "kind": kind,
        "seed": settings.run.seed,
        "threads": settings.run.threads,
        "settings": values,
        "models": {role: _model(role, path) for role, path in models.items()},
    }


def _model(role: str, path: Path | Mapping[str, str]) -> dict[str, str]:
    if isinstance(path, Mapping):
        return dict(path)
    fix = "run train_bit, or train_joint for a generator, or correct the path"
    with reading(path, f"the {role} of the run", fix):
        return {"file": str(path), "sha256": sha256_of(path)}


def empty_part(side: int, attributes: dict[str, Any]) -> Part:
    """Return a shard without images, for more jobs than blocks of images."""
    nothing: NDArray[np.uint8] = np.empty((0, side, side, 3), dtype=np.uint8)
    return Part(np.empty(0, dtype=np.int64), nothing, attributes)
