"""Draw each content as a stylised figure with shape variants."""

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import ImageDraw, ImageFont

from brainit.simulation.scenes import WORDS, SceneObject

Rgb = tuple[int, int, int]
_SKINS: tuple[Rgb, ...] = ((245, 205, 170), (225, 170, 120), (160, 105, 65), (95, 60, 40))
_HAIRS: tuple[Rgb, ...] = ((30, 20, 15), (110, 60, 25), (225, 185, 90), (150, 45, 20))


def shade(hue: float, saturation: float = 0.85, value: float = 0.9) -> Rgb:
    """Return the RGB colour, 0..255, of a hue in [0, 1)."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return int(red * 255), int(green * 255), int(blue * 255)


@lru_cache(maxsize=64)
def _font(pixels: int) -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    return ImageFont.load_default(size=pixels)


@dataclass(frozen=True)
class Pen:
    """Draw in the frame of the object: x and y from -1 to 1 within its box."""

    draw: ImageDraw.ImageDraw
    item: SceneObject
    side: int

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel coordinates of a point in the object's frame."""
        half = self.item.size * self.side / 2
        return self.item.x * self.side + x * half, self.item.y * self.side + y * half

    def stroke(self, width: float) -> int:
        """Return a line width in pixels, at least one."""
        return max(1, round(width * self.item.size * self.side / 2))

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Rgb) -> None:
        """Draw a filled ellipse."""
        self.draw.ellipse([*self.at(x - rx, y - ry), *self.at(x + rx, y + ry)], fill=fill)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Rgb) -> None:
        """Draw a filled rectangle."""
        self.draw.rectangle([*self.at(x0, y0), *self.at(x1, y1)], fill=fill)

    def polygon(self, points: Sequence[tuple[float, float]], fill: Rgb) -> None:
        """Draw a filled polygon."""
        self.draw.polygon([self.at(x, y) for x, y in points], fill=fill)

    def line(self, points: Sequence[tuple[float, float]], width: float, fill: Rgb) -> None:
        """Draw a line with round joints."""
        pixels = [self.at(x, y) for x, y in points]
        self.draw.line(pixels, fill=fill, width=self.stroke(width), joint="curve")


def _face(pen: Pen) -> None:
    item = pen.item
    d = item.detail
    skin, hair = _SKINS[int(d[0] * 4)], _HAIRS[int(d[1] * 4)]
    pen.ellipse(0, -0.12, 0.80, 0.86, hair)
    if item.variant % 2:
        pen.box(-0.78, -0.1, 0.78, 0.75, hair)
    pen.ellipse(0, 0.08, 0.66, 0.86, skin)
    gap = 0.22 + 0.10 * d[2]
    for side in (-1, 1):
        pen.ellipse(side * gap, -0.06, 0.16, 0.11, (255, 255, 255))
        pen.ellipse(side * gap, -0.06, 0.07, 0.09, (20, 30, 60))
        pen.line([(side * (gap - 0.14), -0.26), (side * (gap + 0.14), -0.28)], 0.07, hair)
    dark: Rgb = (int(skin[0] * 0.75), int(skin[1] * 0.7), int(skin[2] * 0.65))
    pen.polygon([(0, 0.0), (-0.1, 0.32), (0.1, 0.32)], dark)
    smile = 0.16 * (d[3] - 0.3)
    points = [(-0.28, 0.54 - smile), (0, 0.54 + smile), (0.28, 0.54 - smile)]
    pen.line(points, 0.10, shade(item.hue, 0.75, 0.75))
    if item.variant >= 2:
        pen.box(-0.70, -0.95, 0.70, -0.55, shade(item.hue))


def _body(pen: Pen) -> None:
    item = pen.item
    d = item.detail
    skin, shirt = _SKINS[int(d[0] * 4)], shade(item.hue)
    trousers = shade(item.hue + 0.35 + 0.3 * d[1], 0.6, 0.45)
    spread, lift = 0.15 + 0.25 * d[2], 0.7 - 1.3 * d[3]
    for side in (-1, 1):
        pen.line([(side * 0.12, 0.2), (side * spread, 0.62), (side * spread, 0.95)], 0.2, trousers)
        hand = (side * (0.55 + 0.15 * d[4]), -0.25 + lift * 0.6)
        pen.line([(side * 0.22, -0.40), (side * 0.45, -0.2 + lift * 0.3), hand], 0.15, shirt)
        pen.ellipse(*hand, 0.09, 0.09, skin)
    if item.variant % 2:
        pen.polygon([(-0.2, -0.5), (0.2, -0.5), (0.42, 0.45), (-0.42, 0.45)], shirt)
    else:
        pen.box(-0.26, -0.5, 0.26, 0.25, shirt)
    pen.ellipse(0, -0.74, 0.19, 0.23, skin)
    pen.draw.pieslice(
        [*pen.at(-0.21, -1.0), *pen.at(0.21, -0.58)], 180, 360, fill=_HAIRS[int(d[5] * 4)]
    )


def _house(pen: Pen) -> None:
    item = pen.item
    d = item.detail
    wall, roof = shade(item.hue, 0.45, 0.92), shade(item.hue + 0.5, 0.75, 0.5)
    width, eaves = 0.65 + 0.3 * d[0], -0.35 + 0.35 * d[1]
    pen.box(-width, eaves, width, 0.95, wall)
    if item.variant == 0:
        pen.polygon([(-width - 0.08, eaves), (0, -0.95), (width + 0.08, eaves)], roof)
    elif item.variant == 1:
        points = [(-width - 0.05, eaves), (-width * 0.6, -0.8), (width * 0.6, -0.8)]
        pen.polygon([*points, (width + 0.05, eaves)], roof)
    elif item.variant == 2:
        pen.box(-width - 0.05, eaves - 0.2, width + 0.05, eaves, roof)
        pen.box(width * 0.3, eaves - 0.55, width * 0.6, eaves - 0.2, roof)
    else:
        pen.polygon([(-width, eaves), (-width, -0.95), (width, eaves)], roof)
    n_windows = 2 + int(d[2] * 2)
    glass: Rgb = (250, 240, 150) if d[3] > 0.5 else (70, 90, 120)
    for i in range(n_windows):
        x = (i + 0.5) / n_windows * 2 * width - width
        pen.box(x - 0.13, eaves + 0.12, x + 0.13, eaves + 0.42, glass)
    door = (d[4] - 0.5) * width
    pen.box(door - 0.15, 0.48, door + 0.15, 0.95, (80, 45, 25))


def _word(pen: Pen) -> None:
    item = pen.item
    d = item.detail
    text = WORDS[int(d[0] * len(WORDS))]
    dark = d[1] > 0.5
    paper: Rgb = (250, 250, 245) if dark else shade(item.hue, 0.9, 0.55)
    ink: Rgb = shade(item.hue, 0.95, 0.45) if dark else (255, 250, 235)
    height = 0.42 + 0.15 * d[2]
    pen.box(-0.98, -height, 0.98, height, paper)
    if item.variant >= 2:
        pen.box(-0.98, height * 0.72, 0.98, height, ink)
    pixels = max(6, round(item.size * pen.side * 1.25 / max(3, len(text))))
    pen.draw.text(pen.at(0, 0), text, fill=ink, font=_font(pixels), anchor="mm")


def _food(pen: Pen) -> None:
    item = pen.item
    d = item.detail
    pen.ellipse(0, 0.30, 0.98, 0.52, (245, 245, 240))
    pen.ellipse(0, 0.28, 0.74, 0.36, (215, 215, 210))
    fresh = shade(item.hue, 0.9, 0.85)
    if item.variant == 0:  # fruit
        for i in range(3):
            pen.ellipse(-0.36 + 0.36 * i, 0.10 - 0.22 * (i == 1), 0.28, 0.28, fresh)
            pen.line([(-0.36 + 0.36 * i, -0.2), (-0.30 + 0.36 * i, -0.36)], 0.07, (60, 100, 30))
    elif item.variant == 1:  # burger
        pen.ellipse(0, -0.22, 0.62, 0.38, (205, 130, 55))
        pen.box(-0.64, -0.16, 0.64, -0.02, fresh)
        pen.box(-0.60, -0.02, 0.60, 0.16, (95, 50, 25))
        pen.ellipse(0, 0.24, 0.60, 0.16, (205, 130, 55))
    elif item.variant == 2:  # cake
        pen.polygon([(-0.6, -0.2), (0.6, -0.45), (0.6, 0.3), (-0.6, 0.3)], (240, 220, 175))
        pen.polygon([(-0.6, -0.2), (0.6, -0.45), (0.6, -0.2), (-0.6, 0.02)], fresh)
        pen.ellipse(0.3 - 0.6 * d[0], -0.45, 0.13, 0.13, (200, 20, 30))
    else:  # ice cream
        pen.polygon([(-0.3, -0.05), (0.3, -0.05), (0, 0.55)], (210, 160, 90))
        pen.ellipse(-0.2, -0.25, 0.27, 0.27, fresh)
        pen.ellipse(0.2, -0.25, 0.27, 0.27, shade(item.hue + 0.2, 0.4, 0.95))
        pen.ellipse(0, -0.55, 0.27, 0.27, shade(item.hue + 0.1, 0.6, 0.8))


def _tool(pen: Pen) -> None:
    item = pen.item
    handle = shade(item.hue, 0.9, 0.7)
    steel: Rgb = (150 + int(60 * item.detail[0]), 165, 175)
    lean = 0.9 * (item.detail[1] - 0.5)
    if item.variant == 0:  # hammer
        pen.line([(-lean * 0.6, 0.95), (lean * 0.6, -0.6)], 0.22, handle)
        pen.box(lean * 0.6 - 0.55, -0.92, lean * 0.6 + 0.45, -0.52, steel)
    elif item.variant == 1:  # wrench
        pen.line([(-lean, 0.7), (lean, -0.5)], 0.24, steel)
        pen.ellipse(lean, -0.62, 0.36, 0.34, steel)
        pen.box(lean - 0.13, -1.0, lean + 0.13, -0.62, handle)
        pen.ellipse(-lean, 0.72, 0.24, 0.24, handle)
    elif item.variant == 2:  # scissors
        pen.line([(-0.45, -0.95), (0.3, 0.45)], 0.16, steel)
        pen.line([(0.45, -0.95), (-0.3, 0.45)], 0.16, steel)
        for side in (-1, 1):
            pen.ellipse(side * 0.38, 0.66, 0.30, 0.30, handle)
            pen.ellipse(side * 0.38, 0.66, 0.13, 0.13, (30, 30, 30))
    else:  # saw
        pen.polygon([(-0.98, -0.1), (0.45, -0.35), (0.45, 0.25), (-0.98, 0.12)], steel)
        for i in range(8):
            x = -0.9 + i * 0.16
            pen.polygon([(x, 0.12), (x + 0.08, 0.3), (x + 0.16, 0.14)], steel)
        pen.ellipse(0.66, -0.04, 0.34, 0.42, handle)
        pen.ellipse(0.68, -0.04, 0.13, 0.2, (30, 30, 30))


DRAWERS: dict[str, Callable[[Pen], None]] = {
    "face": _face,
    "body": _body,
    "house": _house,
    "word": _word,
    "food": _food,
    "tool": _tool,
}
