"""The pen with which objects are drawn, in a frame that leans with the object."""

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import ImageDraw, ImageFont

from brainit.simulation.scenes import SceneObject

Rgb = tuple[int, int, int]
_N_CORNERS = 28


def shade(hue: float, saturation: float = 0.85, value: float = 0.9) -> Rgb:
    """Return the RGB colour, 0..255, of a hue in [0, 1)."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return int(red * 255), int(green * 255), int(blue * 255)


@lru_cache(maxsize=64)
def _font(pixels: int) -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    return ImageFont.load_default(size=pixels)


@dataclass(frozen=True)
class Pen:
    """Draw in the frame of the object: x and y from -1 to 1 within its box, before it leans."""

    draw: ImageDraw.ImageDraw
    item: SceneObject
    side: int

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel coordinates of a point in the object's frame."""
        half = self.item.size * self.side / 2
        cos, sin = math.cos(self.item.pose), math.sin(self.item.pose)
        across, down = x * cos - y * sin, x * sin + y * cos
        return self.item.x * self.side + across * half, self.item.y * self.side + down * half

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Rgb) -> None:
        """Draw a filled ellipse."""
        self.arc(x, y, rx, ry, (0.0, 360.0), fill)

    def arc(
        self, x: float, y: float, rx: float, ry: float, degrees: tuple[float, float], fill: Rgb
    ) -> None:
        """Draw the filled part of an ellipse between two angles, clockwise from the right."""
        first, last = (math.radians(angle) for angle in degrees)
        steps = [first + (last - first) * i / _N_CORNERS for i in range(_N_CORNERS + 1)]
        self.polygon([(x + rx * math.cos(a), y + ry * math.sin(a)) for a in steps], fill)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Rgb) -> None:
        """Draw a filled rectangle."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill)

    def polygon(self, points: Sequence[tuple[float, float]], fill: Rgb) -> None:
        """Draw a filled polygon."""
        self.draw.polygon([self.at(x, y) for x, y in points], fill=fill)

    def line(self, points: Sequence[tuple[float, float]], width: float, fill: Rgb) -> None:
        """Draw a line with round joints; `width` in the object's frame, at least a pixel."""
        pixels = [self.at(x, y) for x, y in points]
        wide = max(1, round(width * self.item.size * self.side / 2))
        self.draw.line(pixels, fill=fill, width=wide, joint="curve")

    def text(self, text: str, height: float, fill: Rgb) -> None:
        """Write upright text at the object's centre."""
        pixels = max(6, round(height * self.item.size * self.side / 2))
        self.draw.text(self.at(0, 0), text, fill=fill, font=_font(pixels), anchor="mm")
