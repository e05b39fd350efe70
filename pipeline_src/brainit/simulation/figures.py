"""Draw each content as a stylised figure, whose details vary continuously."""

from collections.abc import Callable

from brainit.simulation.object_drawing import Pen, Rgb, shade
from brainit.simulation.scenes import WORDS

_WHITE: Rgb = (250, 248, 240)
_BLACK: Rgb = (25, 22, 30)
_STEEL: Rgb = (165, 172, 182)
_BROWN: Rgb = (105, 68, 38)


def _mix(first: Rgb, second: Rgb, share: float) -> Rgb:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _skin(value: float) -> Rgb:
    return _mix((248, 214, 182), (118, 76, 50), value)


def _eyes(pen: Pen, y: float, gap: float, size: float) -> None:
    for side in (-1, 1):
        pen.ellipse(side * gap, y, size, size * 0.8, _WHITE)
        pen.ellipse(side * gap, y, size * 0.5, size * 0.6, _BLACK)


def _face(pen: Pen) -> None:
    d, hat = pen.item.detail, shade(pen.item.hue)
    skin = _skin(d[0])
    pen.ellipse(0, 0, 0.82, 0.95, hat)
    pen.ellipse(0, 0.12, 0.66 + 0.08 * d[1], 0.82, skin)
    _eyes(pen, -0.05, 0.26 + 0.06 * d[2], 0.16)
    pen.polygon([(0, 0.02), (-0.09, 0.32), (0.09, 0.32)], _mix(skin, _BLACK, 0.3))
    pen.arc(0, 0.5, 0.32, 0.08 + 0.16 * d[3], (0, 180), (170, 35, 45))


def _cat(pen: Pen) -> None:
    d, fur = pen.item.detail, shade(pen.item.hue, 0.6, 0.75)
    for side in (-1, 1):
        top = -0.98 + 0.15 * d[0]
        pen.polygon([(side * 0.85, top), (side * 0.78, 0.0), (side * 0.15, -0.5)], fur)
        pen.polygon([(side * 0.76, top + 0.2), (side * 0.7, -0.2), (side * 0.35, -0.45)], _BLACK)
    pen.ellipse(0, 0.15, 0.85, 0.72, fur)
    for side in (-1, 1):
        pen.ellipse(side * 0.36, 0.0, 0.19, 0.22, (235, 220, 70))
        pen.ellipse(side * 0.36, 0.0, 0.04 + 0.06 * d[1], 0.2, _BLACK)
        for tilt in (-0.08, 0.1):
            pen.line([(side * 0.2, 0.45), (side * 0.97, 0.42 + tilt + 0.1 * d[2])], 0.04, _WHITE)
    pen.polygon([(-0.12, 0.3), (0.12, 0.3), (0, 0.45)], (230, 130, 140))


def _body(pen: Pen) -> None:
    d, shirt = pen.item.detail, shade(pen.item.hue)
    skin, trousers = _skin(d[0]), shade(pen.item.hue + 0.5, 0.6, 0.4)
    spread, lift = 0.2 + 0.15 * d[1], 0.35 - 0.7 * d[2]
    for side in (-1, 1):
        pen.line([(side * 0.14, 0.2), (side * spread, 0.98)], 0.26, trousers)
        hand = (side * 0.72, -0.15 + lift)
        pen.line([(side * 0.22, -0.36), hand], 0.2, shirt)
        pen.ellipse(*hand, 0.12, 0.12, skin)
    pen.polygon([(-0.34, -0.48), (0.34, -0.48), (0.3, 0.3), (-0.3, 0.3)], shirt)
    pen.ellipse(0, -0.72, 0.22, 0.26, skin)
    pen.arc(0, -0.78, 0.24, 0.22, (180, 360), _mix(_BLACK, (200, 150, 70), d[3]))


def _dog(pen: Pen) -> None:
    d, fur = pen.item.detail, shade(pen.item.hue, 0.55, 0.7)
    dark = _mix(fur, _BLACK, 0.45)
    for x in (-0.6, -0.3, 0.25, 0.5):
        pen.line([(x, 0.1), (x + 0.08 * (d[0] - 0.5), 0.92)], 0.17, dark)
    pen.line([(-0.7, -0.1), (-0.95, -0.75 + 0.4 * d[1])], 0.14, fur)
    pen.ellipse(-0.1, 0.08, 0.72, 0.34, fur)
    pen.ellipse(0.62, -0.38, 0.3, 0.3, fur)
    pen.ellipse(0.85, -0.28, 0.14, 0.13, dark)
    pen.ellipse(0.48, -0.42 + 0.15 * d[2], 0.13, 0.3, dark)
    pen.ellipse(0.68, -0.46, 0.06, 0.07, _BLACK)


def _bird(pen: Pen) -> None:
    d, plumage = pen.item.detail, shade(pen.item.hue)
    wing = shade(pen.item.hue, 0.9, 0.5)
    pen.polygon([(-0.5, 0.05), (-1.0, -0.1 + 0.2 * d[0]), (-0.95, 0.4)], wing)
    pen.ellipse(0, 0.12, 0.62, 0.42, plumage)
    pen.ellipse(0.5, -0.38, 0.3, 0.3, plumage)
    pen.polygon([(0.76, -0.48), (1.0, -0.34), (0.76, -0.22)], (240, 165, 30))
    pen.ellipse(0.56, -0.44, 0.07, 0.07, _BLACK)
    pen.polygon([(-0.35, 0.0), (0.3, 0.0), (-0.3 + 0.2 * d[1], -0.6 + 0.9 * d[2])], wing)
    for x in (-0.12, 0.14):
        pen.line([(x, 0.5), (x, 0.95)], 0.07, (235, 150, 30))


def _fish(pen: Pen) -> None:
    d, scales = pen.item.detail, shade(pen.item.hue, 0.75, 0.85)
    fin = shade(pen.item.hue + 0.08, 0.9, 0.6)
    pen.polygon([(-0.5, 0.0), (-1.0, -0.45 - 0.15 * d[0]), (-1.0, 0.45 + 0.15 * d[0])], fin)
    pen.polygon([(-0.25, -0.3), (0.25, -0.3), (-0.1, -0.7 - 0.15 * d[1])], fin)
    pen.ellipse(0.12, 0, 0.82, 0.44 + 0.08 * d[2], scales)
    pen.arc(0.12, 0, 0.82, 0.44, (20, 160), _mix(scales, _WHITE, 0.55))
    pen.ellipse(0.62, -0.1, 0.13, 0.13, _WHITE)
    pen.ellipse(0.64, -0.1, 0.07, 0.07, _BLACK)


def _house(pen: Pen) -> None:
    d, wall = pen.item.detail, shade(pen.item.hue, 0.4, 0.92)
    roof, width = shade(pen.item.hue + 0.45, 0.75, 0.45), 0.72 + 0.2 * d[0]
    eaves = -0.25 + 0.2 * d[1]
    pen.box(-width, eaves, width, 0.95, wall)
    pen.polygon([(-width - 0.08, eaves), (0, -0.98), (width + 0.08, eaves)], roof)
    for side in (-1, 1):
        x = side * width * 0.55
        pen.box(x - 0.17, eaves + 0.15, x + 0.17, eaves + 0.48, (70, 95, 130))
    door = 0.3 * (d[2] - 0.5)
    pen.box(door - 0.17, 0.4, door + 0.17, 0.95, _BROWN)


def _tower(pen: Pen) -> None:
    d, stone = pen.item.detail, shade(pen.item.hue, 0.3, 0.7)
    dark, width = _mix(stone, _BLACK, 0.55), 0.34 + 0.12 * d[0]
    pen.box(-width, -0.6, width, 0.98, stone)
    for i in range(3):
        x = (i - 1) * width * 0.95
        pen.box(x - width * 0.3, -0.8, x + width * 0.3, -0.55, stone)
    for i in range(3):
        pen.box(-0.1, -0.4 + 0.42 * i, 0.1, -0.15 + 0.42 * i, dark)
    pen.line([(0, -0.75), (0, -1.0)], 0.05, dark)
    pen.polygon([(0, -1.0), (0.3 + 0.2 * d[1], -0.92), (0, -0.82)], shade(pen.item.hue + 0.5))


def _tree(pen: Pen) -> None:
    d, leaves = pen.item.detail, shade(pen.item.hue, 0.7, 0.6)
    light = _mix(leaves, _WHITE, 0.25)
    pen.box(-0.13, 0.1, 0.13, 0.98, _BROWN)
    spread = 0.42 + 0.1 * d[0]
    for x, y, radius in ((-spread, -0.1, 0.42), (spread, -0.1, 0.42), (0, -0.5, 0.48)):
        pen.ellipse(x, y, radius, radius, leaves)
    pen.ellipse(-0.15 + 0.3 * d[1], -0.5, 0.25, 0.25, light)


def _car(pen: Pen) -> None:
    d, paint = pen.item.detail, shade(pen.item.hue)
    top = -0.5 - 0.1 * d[0]
    pen.polygon([(-0.6, 0.0), (-0.35 - 0.1 * d[1], top), (0.3, top), (0.62, 0.0)], paint)
    pen.polygon([(-0.42, -0.05), (-0.26, top + 0.1), (0.22, top + 0.1), (0.45, -0.05)], _STEEL)
    pen.box(-0.98, -0.05, 0.98, 0.42, paint)
    pen.ellipse(0.88, 0.1, 0.1, 0.09, (255, 240, 150))
    for x in (-0.55, 0.55):
        pen.ellipse(x, 0.42, 0.26, 0.26, _BLACK)
        pen.ellipse(x, 0.42, 0.11, 0.11, _STEEL)


def _word(pen: Pen) -> None:
    d, ink = pen.item.detail, shade(pen.item.hue, 0.95, 0.4)
    text = WORDS[int(d[0] * len(WORDS))]
    height = 0.42 + 0.1 * d[1]
    pen.box(-0.98, -height, 0.98, height, _WHITE)
    pen.box(-0.98, height * 0.75, 0.98, height, ink)
    pen.text(text, 2.5 / max(3, len(text)), ink)


def _sign(pen: Pen) -> None:
    d, paint = pen.item.detail, shade(pen.item.hue, 0.95, 0.8)
    pen.box(-0.08, 0.2, 0.08, 0.98, _STEEL)
    corners = [(0.28, -0.98), (0.68, -0.58), (0.68, -0.02), (0.28, 0.38)]
    corners += [(-x, y) for x, y in reversed(corners)]
    pen.polygon(corners, _WHITE)
    pen.polygon([(x * 0.86, (y + 0.3) * 0.86 - 0.3) for x, y in corners], paint)
    middle, half = -0.3, 0.11 + 0.05 * d[0]
    pen.box(-0.45, middle - half, 0.45, middle + half, _WHITE)


def _clock(pen: Pen) -> None:
    d, rim = pen.item.detail, shade(pen.item.hue, 0.85, 0.6)
    pen.ellipse(0, 0, 0.9, 0.9, rim)
    pen.ellipse(0, 0, 0.7, 0.7, _WHITE)
    for x, y in ((0, -0.58), (0.58, 0), (0, 0.58), (-0.58, 0)):
        pen.ellipse(x, y, 0.07, 0.07, _BLACK)
    pen.line([(0, 0), (0.5 * (d[0] - 0.5), -0.5)], 0.08, _BLACK)
    pen.line([(0, 0), (0.36, 0.3 * (d[1] - 0.5))], 0.1, _BLACK)


def _fruit(pen: Pen) -> None:
    d, peel = pen.item.detail, shade(pen.item.hue, 0.9, 0.85)
    for side in (-1, 1):
        pen.ellipse(side * 0.3, 0.15, 0.52, 0.7, peel)
    pen.ellipse(-0.35, -0.1, 0.14, 0.24, _mix(peel, _WHITE, 0.6))
    pen.line([(0, -0.4), (0.1 * (d[0] - 0.5), -0.9)], 0.1, _BROWN)
    pen.ellipse(0.34, -0.7, 0.28, 0.12 + 0.05 * d[1], (70, 145, 50))


def _burger(pen: Pen) -> None:
    d, filling = pen.item.detail, shade(pen.item.hue, 0.85, 0.8)
    bun = _mix((225, 160, 80), (180, 110, 45), d[0])
    pen.arc(0, -0.1, 0.88, 0.65 + 0.1 * d[1], (180, 360), bun)
    for x in (-0.4, 0.0, 0.4):
        pen.ellipse(x, -0.45, 0.06, 0.05, _WHITE)
    pen.box(-0.95, -0.1, 0.95, 0.1, filling)
    pen.box(-0.86, 0.1, 0.86, 0.36, (88, 48, 28))
    pen.arc(0, 0.36, 0.86, 0.38, (0, 180), bun)


def _cake(pen: Pen) -> None:
    d, icing = pen.item.detail, shade(pen.item.hue, 0.65, 0.95)
    sponge: Rgb = (240, 215, 165)
    top = -0.2 - 0.1 * d[0]
    pen.ellipse(0, 0.82, 0.98, 0.15, _STEEL)
    pen.box(-0.75, top, 0.75, 0.8, sponge)
    pen.box(-0.75, 0.3, 0.75, 0.45, icing)
    pen.box(-0.75, top - 0.1, 0.75, top + 0.15, icing)
    for x in (-0.4, 0.0, 0.4):
        pen.box(x - 0.06, top - 0.5, x + 0.06, top - 0.1, _WHITE)
        pen.ellipse(x, top - 0.6, 0.07, 0.12, (255, 190, 40))


def _ice(pen: Pen) -> None:
    d, scoop = pen.item.detail, shade(pen.item.hue, 0.5, 0.95)
    pen.polygon([(-0.45, 0.0), (0.45, 0.0), (0, 0.98)], (212, 160, 92))
    pen.line([(-0.25, 0.1), (0.1, 0.7)], 0.05, _BROWN)
    pen.line([(0.25, 0.1), (-0.1, 0.7)], 0.05, _BROWN)
    pen.ellipse(-0.24, -0.12, 0.34, 0.34, scoop)
    pen.ellipse(0.24, -0.12, 0.34, 0.34, shade(pen.item.hue + 0.1, 0.6, 0.8))
    pen.ellipse(0, -0.55, 0.36, 0.36, _mix(scoop, _WHITE, 0.4 * d[0]))
    pen.ellipse(0.05, -0.92, 0.09, 0.09, (205, 30, 45))


def _hammer(pen: Pen) -> None:
    d, handle = pen.item.detail, shade(pen.item.hue, 0.9, 0.7)
    pen.box(-0.13, -0.6, 0.13, 0.98, handle)
    pen.box(-0.55, -0.95, 0.5, -0.45 + 0.1 * d[0], _STEEL)
    pen.polygon([(0.5, -0.95), (0.95, -0.72), (0.5, -0.55)], _STEEL)
    pen.box(-0.7, -1.0, -0.5, -0.42, _mix(_STEEL, _BLACK, 0.4))


def _scissors(pen: Pen) -> None:
    d, handle = pen.item.detail, shade(pen.item.hue, 0.9, 0.8)
    wide = 0.3 + 0.25 * d[0]
    for side in (-1, 1):
        pen.line([(-side * wide, -0.98), (side * 0.36, 0.5)], 0.17, _STEEL)
    for side in (-1, 1):
        pen.ellipse(side * 0.42, 0.66, 0.36, 0.32, handle)
        pen.ellipse(side * 0.42, 0.66, 0.17, 0.15, _BLACK)
    pen.ellipse(0, -0.15, 0.08, 0.08, _BLACK)


def _saw(pen: Pen) -> None:
    d, handle = pen.item.detail, shade(pen.item.hue, 0.9, 0.65)
    end = -0.12 + 0.12 * d[0]
    pen.polygon([(-0.98, end - 0.1), (0.4, -0.4), (0.4, 0.3), (-0.98, end + 0.2)], _STEEL)
    for i in range(7):
        x = -0.9 + i * 0.19
        y = end + 0.2 + (0.1 - end) * i / 7
        pen.polygon([(x, y), (x + 0.09, y + 0.2), (x + 0.19, y)], _STEEL)
    pen.ellipse(0.66, -0.04, 0.34, 0.48, handle)
    pen.ellipse(0.68, -0.04, 0.14, 0.24, _BLACK)


DRAWERS: dict[str, Callable[[Pen], None]] = {
    "face": _face,
    "cat": _cat,
    "body": _body,
    "dog": _dog,
    "bird": _bird,
    "fish": _fish,
    "house": _house,
    "tower": _tower,
    "tree": _tree,
    "car": _car,
    "word": _word,
    "sign": _sign,
    "clock": _clock,
    "fruit": _fruit,
    "burger": _burger,
    "cake": _cake,
    "ice": _ice,
    "hammer": _hammer,
    "scissors": _scissors,
    "saw": _saw,
}
