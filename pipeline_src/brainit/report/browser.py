"""The report's image browser: small pictures of seen and reconstructed images, and their scores.

A full run has a thousand test images per subject: too many for one file. Then every n-th image by
NSD id is shown, whatever its scores.
"""

import base64
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from brainit.core.artifacts import read_table
from brainit.data.pixels import PixelStore
from brainit.data.recons import Recons, read_recons
from brainit.evaluation.metrics.names import direction_of
from brainit.evaluation.tables.run_scores import run_key
from brainit.report.captions import KIND_LABELS, run_label
from brainit.report.ranking import ranking_metric
from brainit.workflow.runs import FULL

SIDE_PX = 96
MOST_PICTURES = 5000
MOST_BYTES = 14_000_000
_QUALITY = 80


@dataclass(frozen=True)
class Picture:
    """One small picture: `key` is subject/run/kind, or "seen"; `url` is a data URL."""

    key: str
    label: str
    alt: str
    url: str


@dataclass(frozen=True)
class Card:
    """A test image of one subject: the seen image, then all its reconstructions."""

    subject: str
    nsd_id: int
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Browser:
    """The content of the browser.

    `choices` are (key, label) of the scored kinds of images, `metrics` (name, direction). Every
    `every`-th image is shown. `scores` is JSON: by key, `nsd_id` and each metric as lists.
    """

    cards: tuple[Card, ...]
    every: int
    choices: tuple[tuple[str, str], ...]
    metrics: tuple[tuple[str, str], ...]
    first_metric: str
    scores: str


def image_browser(
    recons: Mapping[str, Path], metrics: Mapping[str, Path], stimuli: Path
) -> Browser:
    """Return the browser of `recons`, by subject/run, and `metrics`, by subject/run/kind.

    Kinds without scores are left out. Raises `PipelineError` for an incomplete folder or table.
    """
    keys = [key for key in metrics if key.rpartition("/")[0] in recons]
    tables = {key: read_table(metrics[key], ("nsd_id",), "evaluate") for key in keys}
    by_subject: dict[str, list[str]] = {}
    for key in keys:
        by_subject.setdefault(run_key(key)[0], []).append(key)
    n_pictures = sum(
        len(tables[run_keys[0]]) * (len(run_keys) + 1) for run_keys in by_subject.values()
    )
    every = max(math.ceil(n_pictures / MOST_PICTURES), 1)
    cards: list[Card] = []
    for subject, run_keys in by_subject.items():
        cards += _cards(subject, run_keys, recons, PixelStore(stimuli), every)
    n_bytes = sum(len(picture.url) for card in cards for picture in card.pictures)
    thinner = max(math.ceil(n_bytes / MOST_BYTES), 1)
    names = list(dict.fromkeys(str(name) for table in tables.values() for name in table))
    names = [name for name in names if name != "nsd_id"]
    return Browser(
        tuple(cards[::thinner]),
        every * thinner,
        tuple((key, _choice(key)) for key in sorted(keys, key=_choice_order)),
        tuple((name, direction_of(name)) for name in names),
        ranking_metric(names) if names else "",
        _scores(tables),
    )


def _choice_order(key: str) -> tuple[str, bool, bool]:
    """Return a sort key: by subject, fused images first, then runs with all data."""
    subject, run, kind = run_key(key)
    return subject, kind != "fused", run != FULL.name


def _choice(key: str) -> str:
    subject, run, kind = run_key(key)
    return f"{subject}, {run_label(run)}, {KIND_LABELS[kind]}"


def _cards(
    subject: str, keys: list[str], recons: Mapping[str, Path], stimuli: PixelStore, every: int
) -> list[Card]:
    pictures: dict[int, list[Picture]] = {}
    read: dict[str, Recons] = {}
    for key in keys:
        _, run, kind = run_key(key)
        if run not in read:
            read = {run: read_recons(recons[f"{subject}/{run}"], every)}
        label = f"{run_label(run)}, {KIND_LABELS[kind]}"
        shown = read[run].shown(read[run].images[kind])
        for nsd_id, pixels in zip(read[run].nsd_id.tolist(), shown, strict=True):
            alt = f"Image {nsd_id} of {subject}, {label}"
            pictures.setdefault(nsd_id, []).append(Picture(key, label, alt, data_url(pixels)))
    ids = sorted(pictures)
    seen = stimuli.shown(np.array(ids, dtype=np.int64))
    return [
        Card(
            subject,
            nsd_id,
            (
                Picture("seen", "seen", f"Image {nsd_id} as {subject} saw it", data_url(pixels)),
                *pictures[nsd_id],
            ),
        )
        for nsd_id, pixels in zip(ids, seen, strict=True)
    ]


def data_url(pixels: NDArray[np.uint8]) -> str:
    """Return uint8 pixels (height, width, rgb) as a data URL of a small WebP picture."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "webp", quality=_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _scores(tables: Mapping[str, pd.DataFrame]) -> str:
    """Return the scores as JSON, safe inside a script element."""
    scores = {
        key: {
            "nsd_id": [int(value) for value in table["nsd_id"]],
            **{str(n): [_number(value) for value in table[n]] for n in table if n != "nsd_id"},
        }
        for key, table in tables.items()
    }
    return json.dumps(scores, separators=(",", ":")).replace("<", "\\u003c")


def _number(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None
