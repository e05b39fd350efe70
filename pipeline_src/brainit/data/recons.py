"""Write and read the folder of a run's reconstructions; its provenance lists every checksum.

`recons.h5`: datasets nsd_id, lowlevel, semantic and fused, uint8 (images, height, width, rgb). With
a refiner, `fused` is the refined image; its input is kept as `unrefined`. `images/<nsd_id>.png`:
the last kind of the run. `montage.png`. `provenance.json`, written last: the SHA-256 of the other
files, and the kinds of the run. An ablation has no semantic images; a run of the low-level branch
or without a generator has no fused ones; a baseline that picks or draws images has only its final
ones, as `fused`. `private` in the provenance says that a run's images are copies of stimuli that
may not be passed on: then the PNG files and the montage are grey, and so is what `shown` returns.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path, sha256_of, write_text
from brainit.core.hdf5 import HDF5_ERRORS, open_hdf5
from brainit.core.reading import reading
from brainit.data.pixels import greyed

KINDS = ("lowlevel", "semantic", "fused")
UNREFINED = "unrefined"
PRIVATE = "private"
"""Mark in the provenance of a run whose images may not be passed on."""
FILE_NAME = "recons.h5"
MONTAGE_NAME = "montage.png"
PROVENANCE_NAME = "provenance.json"
_FIX = "delete the folder and rerun gather_reconstructions"


@dataclass(frozen=True)
class Recons:
    """Reconstructions of a run: images of each kind, uint8 (images, height, width, rgb).

    `unrefined` are the fused images before refinement, None for a run without a refiner.
    """

    nsd_id: NDArray[np.int64]
    images: dict[str, NDArray[np.uint8]]
    provenance: dict[str, Any]
    unrefined: NDArray[np.uint8] | None = None

    def shown(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return some of the run's images for a figure: grey where they may not be passed on."""
        return greyed(images) if self.provenance.get(PRIVATE, False) else images


def write_recons(
    folder: Path,
    nsd_id: NDArray[np.int64],
    images: Mapping[str, NDArray[np.uint8]],
    montage: Image.Image,
    provenance: Mapping[str, Any],
    unrefined: NDArray[np.uint8] | None = None,
) -> None:
    """Write the folder, whole or not at all; equal contents give equal bytes.

    `images` holds some of `KINDS`; the last is also written as PNG, grey if it is `private`.
    """
    kinds = [kind for kind in KINDS if kind in images]
    shown = Recons(nsd_id, dict(images), dict(provenance)).shown(images[kinds[-1]])
    with atomic_path(folder) as partial:
        (partial / "images").mkdir(parents=True)
        for number, pixels in zip(nsd_id, shown, strict=True):
            Image.fromarray(pixels).save(partial / "images" / f"{number:05d}.png")
        montage.save(partial / MONTAGE_NAME)
        with h5py.File(partial / FILE_NAME, "w", libver="latest", locking=False) as handle:
            handle.create_dataset("nsd_id", data=nsd_id, track_times=False)
            for kind in kinds:
                handle.create_dataset(kind, data=images[kind], track_times=False)
            if unrefined is not None:
                handle.create_dataset(UNREFINED, data=unrefined, track_times=False)
        files = sorted(path for path in partial.rglob("*") if path.is_file())
        digests = {str(path.relative_to(partial)): sha256_of(path) for path in files}
        record = {"n_images": len(nsd_id), "kinds": kinds, **provenance, "sha256": digests}
        text = json.dumps(record, indent=1, sort_keys=True)
        write_text(partial / PROVENANCE_NAME, text + "\n")


def read_recons(folder: Path, every: int = 1) -> Recons:
    """Read the reconstructions of a run, or only every `every`-th image.

    Raises `PipelineError` for a folder without provenance (an unfinished run) and for files that
    differ from the provenance.
    """
    folder = Path(folder)
    path = folder / PROVENANCE_NAME
    expected = "the provenance of a finished run"
    with reading(path, expected, _FIX, ValueError, LookupError, TypeError, RecursionError):
        provenance = dict(json.loads(path.read_text(encoding="utf-8")))
        digests = dict(provenance["sha256"])
    for name, digest in digests.items():
        with reading(folder / name, "a file of the reconstructions", _FIX):
            found = sha256_of(folder / name)
        if found != digest:
            raise PipelineError(folder / name, f"SHA-256 {digest}", found, _FIX, code="checksum")
    if FILE_NAME not in digests:
        raise PipelineError(path, f"the SHA-256 of {FILE_NAME}", "none", _FIX, code="missing-data")
    kinds = provenance.get("kinds", KINDS)
    with (
        reading(folder / FILE_NAME, "HDF5 of reconstructions", _FIX, *HDF5_ERRORS),
        open_hdf5(folder / FILE_NAME) as handle,
    ):
        missing = [name for name in ("nsd_id", *kinds) if name not in handle]
        if missing:
            raise PipelineError(
                folder / FILE_NAME,
                f"the datasets {('nsd_id', *kinds)}",
                f"no {missing}",
                _FIX,
                code="missing-data",
            )
        has_both = UNREFINED in handle
        known = ("nsd_id", *kinds, *([UNREFINED] if has_both else []))
        lengths = {len(handle[name]) for name in known}
        nsd_id = handle["nsd_id"][::every]
        images = {kind: handle[kind][::every] for kind in kinds}
        unrefined = handle[UNREFINED][::every] if has_both else None
    counts = {provenance.get("n_images"), *lengths}
    if len(counts) != 1:
        raise PipelineError(
            folder / FILE_NAME,
            "one number of images",
            f"{counts}",
            _FIX,
            code="inconsistent-inputs",
        )
    return Recons(nsd_id, images, provenance, unrefined)
