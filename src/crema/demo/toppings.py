"""Toppings of drinks and dishes. Each is drawn on an ellipse, given by its centre and its half axes."""

import math
from collections.abc import Callable, Collection
from typing import Final, Literal, TypeAlias, get_args

from crema.demo.canvas import PALETTE, Canvas, dark, light, scattered, steps_between

# In drawing order: later ones are on top.
Topping = Literal[
    "straw", "ice", "ham",  # the shapes themselves draw these
    "cream", "glaze", "heart", "granola", "banana", "marshmallow", "caramel", "cinnamon", "sugar", "crumbs",
    "chips", "chunks", "nuts", "pistachio", "almonds", "lavender",
    "berries-orange", "berries-red", "berries-blue", "lemon", "orange", "mint",
]  # fmt: skip

_DrawTopping: TypeAlias = Callable[[Canvas, float, float, float, float], None]


def draw_toppings(canvas: Canvas, toppings: Collection[Topping], x: float, y: float, rx: float, ry: float) -> None:
    """Draw toppings. Those above cream are drawn higher."""
    for topping in get_args(Topping):
        if topping in toppings and topping in _TOPPINGS:
            _TOPPINGS[topping](canvas, x, y, rx, ry)
            if topping == "cream":
                y, rx, ry = y - rx * 0.34, rx * 0.6, rx * 0.34


def _bits(count: int, radius: float, *inks: str, flat: float = 0.75) -> _DrawTopping:
    """Return a topping of small round pieces."""

    def scatter(canvas: Canvas, x: float, y: float, rx: float, ry: float) -> None:
        for number, (bx, by) in enumerate(sorted(scattered(count, x, y, rx, ry, radius), key=lambda point: point[1])):
            ink = inks[number % len(inks)]
            canvas.ellipse(bx, by + radius * 0.22, radius, radius * flat, dark(ink, 0.35))
            canvas.ellipse(bx, by, radius, radius * flat, ink)
            canvas.ellipse(bx - radius * 0.3, by - radius * 0.25, radius * 0.3, radius * 0.2, light(ink, 0.35))

    return scatter


def _slivers(count: int, length: float, *inks: str) -> _DrawTopping:
    """Return a topping of small long pieces."""

    def scatter(canvas: Canvas, x: float, y: float, rx: float, ry: float) -> None:
        for number, (bx, by) in enumerate(scattered(count, x, y, rx, ry)):
            dx, dy = length * math.cos(number * 1.9), length * 0.6 * math.sin(number * 1.9)
            canvas.line([(bx - dx, by - dy), (bx + dx, by + dy)], inks[number % len(inks)], length * 0.55)

    return scatter


def _slice(peel: str, pulp: str) -> _DrawTopping:
    """Return a topping of one citrus slice on the rim."""

    def stand(canvas: Canvas, x: float, y: float, rx: float, _ry: float) -> None:
        cx, cy, radius = x - rx * 0.85, y - 40, 88
        canvas.ellipse(cx, cy, radius, radius, peel)
        canvas.ellipse(cx, cy, radius - 11, radius - 11, light(pulp, 0.75))
        for angle in steps_between(0, math.tau, 8)[:-1]:
            wedge = [(cx + 70 * math.cos(angle + a), cy + 70 * math.sin(angle + a)) for a in (0.1, 0.3, 0.5, 0.68)]
            canvas.polygon([(cx + 10 * math.cos(angle + 0.39), cy + 10 * math.sin(angle + 0.39)), *wedge], pulp)

    return stand


def _heart(canvas: Canvas, x: float, y: float, rx: float, ry: float) -> None:
    """Draw a heart of milk."""
    curve = [
        (
            x + rx * 0.72 * math.sin(a) ** 3,
            y - ry * (0.8 * math.cos(a) - 0.32 * math.cos(2 * a) - 0.12 * math.cos(3 * a)),
        )
        for a in steps_between(0, math.tau)
    ]
    canvas.polygon(curve, PALETTE["milk"])


def _cream(canvas: Canvas, x: float, y: float, rx: float, _ry: float) -> None:
    for step in range(4):
        share, rise = 1 - step * 0.25, step * rx * 0.25
        canvas.ellipse(x, y - rise + rx * 0.07, rx * share, rx * share * 0.42, dark(PALETTE["milk"], 0.13))
        canvas.ellipse(x, y - rise, rx * share, rx * share * 0.4, PALETTE["milk"])


def _glaze(canvas: Canvas, x: float, y: float, rx: float, ry: float) -> None:
    canvas.line(
        [(x + rx * math.sin(a * 9) * 0.9, y + ry * a) for a in steps_between(-0.9, 0.9, 120)], PALETTE["white"], 20
    )


def _caramel(canvas: Canvas, x: float, y: float, rx: float, ry: float) -> None:
    canvas.line(
        [(x + rx * math.cos(a * 1.5) * math.sin(a * 11), y + ry * a) for a in steps_between(-0.95, 0.95, 120)],
        PALETTE["caramel"],
        11,
    )


def _banana(canvas: Canvas, x: float, y: float, rx: float, ry: float) -> None:
    for number in range(4):
        bx, by = x - rx * 0.8 + number * rx * 0.36, y + ry * 0.45 - number * ry * 0.3
        canvas.ellipse(bx, by + 8, 58, 40, "#d9b45c")
        canvas.ellipse(bx, by, 58, 40, "#fbeab0")
        canvas.ellipse(bx, by, 24, 15, "#efd68c")


def _mint(canvas: Canvas, x: float, y: float, rx: float, _ry: float) -> None:
    for angle, size in ((-0.5, 80), (-1.5, 92), (-2.5, 76)):
        along, across = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))
        leaf = [
            (
                x + rx * 0.35 + size * (t * along[0] + 0.3 * side * math.sin(math.pi * t) * across[0]),
                y + size * (t * along[1] + 0.3 * side * math.sin(math.pi * t) * across[1]),
            )
            for side, way in ((1, steps_between(0, 1, 16)), (-1, steps_between(1, 0, 16)))
            for t in way
        ]
        canvas.polygon(leaf, "#5f9a4c")
        canvas.line([leaf[0], leaf[16]], "#8fc074", 4)


_TOPPINGS: Final[dict[Topping, _DrawTopping]] = {
    "cream": _cream,
    "glaze": _glaze,
    "heart": _heart,
    "granola": _bits(46, 17, "#c98f4b", "#a9702f", "#dba966"),
    "banana": _banana,
    "marshmallow": _bits(9, 30, "#fffaf3", "#f9dbdc"),
    "caramel": _caramel,
    "cinnamon": _bits(60, 4, "#9a5526"),
    "sugar": _bits(70, 5, "#fffdf8"),
    "crumbs": _bits(46, 8, "#b9732f", "#d99a50"),
    "chips": _slivers(15, 15, "#4a2a1c", "#5f3826"),
    "chunks": _bits(13, 19, "#4a2a1c", "#5f3826", flat=0.6),
    "nuts": _slivers(17, 11, "#8f5c2b", "#c48a48", "#a8702f"),
    "pistachio": _slivers(20, 10, "#7f9a3f", "#9cb25a", "#a98a4a"),
    "almonds": _slivers(15, 27, "#f8e8c8", "#ecd0a0", "#f3dcb2"),
    "lavender": _slivers(16, 9, "#7b66a8", "#9a86c4"),
    "berries-orange": _bits(14, 19, "#f59a23", "#f7b13c"),
    "berries-red": _bits(7, 27, "#cf3449", "#dd5063"),
    "berries-blue": _bits(8, 24, "#43507f", "#566297"),
    "lemon": _slice("#f2c230", "#f8dc62"),
    "orange": _slice("#ef8b22", "#f8ac48"),
    "mint": _mint,
}
