"""From the shards of a run to its results folder: images, montage, provenance."""

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from brainit.core.errors import PipelineError
from brainit.core.settings import Settings
from brainit.data.pixels import PixelStore, greyed
from brainit.data.recons import KINDS, PRIVATE, write_recons
from brainit.reconstruction.parts import COPIES_STIMULI, Part, join_parts

VERSIONS_OF = ("torch", "numpy", "diffusers", "h5py", "pillow", "safetensors")

FINAL = "answer"
"""Column of images that a baseline picked or drew: nothing was fused."""
COLUMNS = ("seen", "low-level", "semantic", "fused", "refined", FINAL)
COLUMN_OF = {"lowlevel": "low-level"}
CELL, GAP, HEAD = 112, 4, 40
BACKGROUND, INK = (255, 255, 255), (20, 20, 20)


def gather_reconstructions(
    subject: str,
    run: str,
    stimuli: Path,
    parts: Mapping[str, Sequence[Path]],
    out: Path,
    settings: Settings,
    recorded: bool = False,
) -> None:
    """Join the shards of each kind and write the run's folder, provenance last.

    `recorded` says that the subject's brain is recorded, whatever the configuration.

    `parts` are the shard files of the kinds lowlevel, semantic and fused. Ablations have no
    semantic shards; a run without a generator and an ablation of the low-level branch have only
    lowlevel ones. Raises `PipelineError` where the kinds hold different images or settings.
    """
    kinds = [kind for kind in KINDS if kind in parts]
    joined = {kind: join_parts(parts[kind], kind, subject) for kind in kinds}
    last = joined[kinds[-1]]
    for kind, part in joined.items():
        if not np.array_equal(part.nsd_id, last.nsd_id) or not _agree(part, last):
            raise PipelineError(
                f"{kind} shards of {subject}, run {run}",
                f"the {len(last.nsd_id)} images and the settings of the {kinds[-1]} shards",
                f"{len(part.nsd_id)} images, or other settings",
                _rerun(kinds),
                code="inconsistent-inputs",
            )
    write_run(subject, run, stimuli, joined, out, settings, recorded)


def write_run(
    subject: str,
    run: str,
    stimuli: Path,
    joined: Mapping[str, Part],
    out: Path,
    settings: Settings,
    recorded: bool = False,
) -> None:
    """Write a run's folder from its images by kind, all of the same test images.

    A baseline that picks or draws images has only the kind fused. Copies of stimuli that may not
    be shown are grey in the montage and the PNG files. `recorded` as above.
    """
    kinds = [kind for kind in KINDS if kind in joined]
    last = joined[kinds[-1]]
    models = _models(joined, f"shards of {subject}, run {run}")
    images = {kind: part.image for kind, part in joined.items()}
    store = PixelStore(stimuli)
    seen = store.shown(last.nsd_id[:24])
    shown = {"seen": seen, **{COLUMN_OF.get(kind, kind): images[kind] for kind in kinds}}
    if last.unrefined is not None:
        shown |= {"fused": last.unrefined, "refined": last.image}
    simulated = settings.run.simulation and not recorded
    if kinds == ["fused"]:
        shown = {"seen": seen, FINAL: images["fused"]}
    title = f"{subject}, run {run} - {'simulation' if simulated else 'recorded'}"
    title += "" if store.may_be_shown else " - what was seen may not be passed on"
    is_copy = any(part.attributes.get(COPIES_STIMULI, False) for part in joined.values())
    is_private = is_copy and not store.may_be_shown
    if is_private:
        shown = {name: greyed(column) for name, column in shown.items()}
    montage = draw_montage(shown, f"{title}, first {len(seen)} test images")
    provenance = _provenance(subject, run, list(joined.values()), simulated)
    seen_in = os.path.relpath(stimuli, out.parents[1])
    provenance |= {"models": models, "stimuli": seen_in}
    provenance |= {PRIVATE: True} if is_private else {}
    write_recons(out, last.nsd_id, images, montage, provenance, last.unrefined)


def _agree(part: Part, other: Part) -> bool:
    """Return True if seed, threads and the settings that both kinds record are the same."""
    ours, theirs = part.attributes, other.attributes
    return all(ours[key] == theirs[key] for key in ("seed", "threads")) and all(
        value == theirs["settings"].get(section, {}).get(key, value)
        for section, values in ours["settings"].items()
        for key, value in values.items()
    )


def _rerun(kinds: Iterable[str]) -> str:
    return f"rerun {', '.join(f'reconstruct_{kind}' for kind in kinds)} for this run"


def _models(parts: Mapping[str, Part], where: str) -> dict[str, dict[str, str]]:
    """Return file and SHA-256 of each model; raises `PipelineError` where kinds disagree."""
    models: dict[str, dict[str, str]] = {}
    for kind, part in parts.items():
        for role, model in part.attributes["models"].items():
            if models.setdefault(role, model)["sha256"] != model["sha256"]:
                raise PipelineError(
                    where,
                    f"one {role} for all kinds",
                    f"another {role} for the {kind} images",
                    _rerun(parts),
                    code="inconsistent-inputs",
                )
    return models


def _provenance(subject: str, run: str, parts: Sequence[Part], simulated: bool) -> dict[str, Any]:
    settings: dict[str, dict[str, Any]] = {}
    for part in parts:
        for section, values in part.attributes["settings"].items():
            settings[section] = {**settings.get(section, {}), **values}
    text = json.dumps(settings, sort_keys=True)
    versions = {name: metadata.version(name) for name in VERSIONS_OF}
    return {
        "subject": subject,
        "run": run,
        "simulation": simulated,
        "settings": settings,
        **{key: parts[0].attributes[key] for key in ("seed", "threads")},
        "settings_digest": hashlib.sha256(text.encode()).hexdigest(),
        "versions": {"python": platform.python_version(), **versions},
    }


def draw_montage(
    columns: Mapping[str, NDArray[np.uint8]], title: str, n_rows: int = 24
) -> Image.Image:
    """Draw the first `n_rows` images of each column, one row per image, below `title`.

    The rows fill two halves, side by side. `columns` has keys of `COLUMNS`, "seen" among them;
    images are uint8 (images, height, width, rgb) of any size.
    """
    n_images = min(n_rows, len(columns["seen"]))
    n_lines = max(1, -(-n_images // 2))
    names = [name for name in COLUMNS if name in columns]
    half = len(names) * (CELL + GAP) + 3 * GAP
    size = (2 * half + GAP, HEAD + n_lines * (CELL + GAP) + GAP)
    sheet = Image.new("RGB", size, BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, 3), title, fill=INK, font=ImageFont.load_default(14))
    for side in range(2):
        for column, name in enumerate(names):
            corner = (side * half + GAP + column * (CELL + GAP), 22)
            pen.text(corner, name, fill=INK, font=ImageFont.load_default(12))
    for number in range(n_images):
        side, line = divmod(number, n_lines)
        for column, name in enumerate(names):
            left = side * half + GAP + column * (CELL + GAP)
            picture = Image.fromarray(columns[name][number]).resize(
                (CELL, CELL), Image.Resampling.BICUBIC
            )
            sheet.paste(picture, (left, HEAD + line * (CELL + GAP)))
    return sheet
