"""Montage of a run: seen | low-level | semantic | fused | refined, one row per image, for a look.

A run without a generator has the first two columns alone, an ablation no semantic one, a run
without a refiner no last one.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

COLUMNS = ("seen", "low-level", "semantic", "fused", "refined")
CELL, GAP, HEAD = 112, 4, 40
BACKGROUND, INK = (255, 255, 255), (20, 20, 20)


def draw_montage(
    columns: Mapping[str, NDArray[np.uint8]], title: str, n_rows: int = 24
) -> Image.Image:
    """Draw the first `n_rows` images of each column, in two halves side by side, below `title`.

    `columns` has keys of `COLUMNS`, seen among them; images are uint8 (images, height, width, rgb)
    of any size.
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
            place = (side * half + GAP + column * (CELL + GAP), 22)
            pen.text(place, name, fill=INK, font=ImageFont.load_default(12))
    for number in range(n_images):
        side, line = divmod(number, n_lines)
        for column, name in enumerate(names):
            left = side * half + GAP + column * (CELL + GAP)
            picture = Image.fromarray(columns[name][number]).resize(
                (CELL, CELL), Image.Resampling.BICUBIC
            )
            sheet.paste(picture, (left, HEAD + line * (CELL + GAP)))
    return sheet
