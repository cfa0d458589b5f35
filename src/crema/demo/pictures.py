"""Pictures of the demo menu: flat illustrations of a dozen shapes, which differ in colours, layers and toppings."""

import math
from collections.abc import Callable
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from crema.demo.canvas import PALETTE, Canvas, dark, light, mix, scattered, steps_between
from crema.demo.toppings import Topping, draw_toppings

Shape = Literal[
    "bowl", "bun", "cake", "cookie", "croissant", "cup", "glass", "muffin", "mug", "pancakes", "sandwich", "tea"
]


def _ink(name: str) -> str:
    if name not in PALETTE:
        raise ValueError(f"{name} is not in the palette")
    return name


Ink = Annotated[str, AfterValidator(_ink)]


class Picture(BaseModel):
    """The description of a picture. Layers, each with its share, are listed from the bottom up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shape: Shape
    background: Ink
    layers: Annotated[tuple[tuple[Ink, int], ...], Field(min_length=1)]
    accent: Ink = "white"
    toppings: tuple[Topping, ...] = ()

    @property
    def surface(self) -> str:
        """The colour of the top layer."""
        return PALETTE[self.layers[-1][0]]


def draw(picture: Picture) -> bytes:
    """Return a picture as a square PNG. The bytes are the same each time."""
    background = PALETTE[picture.background]
    canvas = Canvas(background)
    canvas.ellipse(500, 500, 440, 440, light(background, 0.45))
    _SHAPES[picture.shape](canvas, picture)
    return canvas.png()


def _frustum(canvas: Canvas, top: tuple[float, float], bottom: tuple[float, float], ink: str, flat: float) -> None:
    """Draw a piece of a round vessel seen from slightly above: (y, half width) of its top and bottom."""
    (y1, r1), (y2, r2) = top, bottom
    canvas.ellipse(500, y2, r2, r2 * flat, ink)
    canvas.polygon([(500 - r1, y1), (500 + r1, y1), (500 + r2, y2), (500 - r2, y2)], ink)


def _cup(canvas: Canvas, picture: Picture) -> None:
    paper, accent = "#fdf9f2", PALETTE[picture.accent]
    canvas.shadow(560, 850, 220, 50)
    _frustum(canvas, (300, 225), (830, 155), paper, 0.16)
    _frustum(canvas, (450, 205), (690, 174), accent, 0.16)
    canvas.ellipse(500, 450, 205, 33, paper)
    canvas.polygon([(640, 300), (725, 300), (655, 830), (590, 850)], "#4a241214")
    bean = light(accent, 0.75)
    canvas.ellipse(500, 600, 38, 52, bean)
    canvas.line([(507, 556), (493, 585), (507, 615), (493, 644)], accent, 9)
    canvas.ellipse(500, 300, 238, 74, dark(paper, 0.1))
    canvas.ellipse(500, 296, 236, 72, paper)
    _drink(canvas, picture, 298, 212, 58)


def _mug(canvas: Canvas, picture: Picture) -> None:
    body = PALETTE[picture.accent]
    canvas.shadow(530, 770, 370, 90)
    canvas.ellipse(500, 745, 350, 92, dark(body, 0.2))
    canvas.ellipse(500, 735, 350, 90, light(body, 0.12))
    canvas.ellipse(500, 738, 215, 48, dark(body, 0.12))
    canvas.ring(745, 535, 85, 88, dark(body, 0.12), 32)
    wall = [(500 + 250 * math.cos(a), 420 + 310 * math.sin(a) ** 0.8) for a in steps_between(0, math.pi)]
    canvas.polygon(wall, body)
    canvas.polygon([*wall[:19], (640, 420)], "#4a241218")
    canvas.ellipse(500, 420, 250, 80, light(body, 0.35))
    canvas.ellipse(500, 424, 232, 69, dark(body, 0.25))
    _drink(canvas, picture, 432, 222, 60)
    _steam(canvas, 500, 320)


def _drink(canvas: Canvas, picture: Picture, y: float, rx: float, ry: float) -> None:
    """Draw a drink in a vessel that is seen from above, with its toppings."""
    canvas.ellipse(500, y, rx, ry, dark(picture.surface, 0.3))
    canvas.ellipse(500, y + 4, rx - 8, ry - 6, picture.surface)
    draw_toppings(canvas, picture.toppings, 500, y, rx * 0.72, ry * 0.66)


def _glass(canvas: Canvas, picture: Picture) -> None:
    canvas.shadow(560, 860, 200, 45)
    if "straw" in picture.toppings:
        canvas.line([(560, 700), (655, 90)], PALETTE[picture.accent], 26)
    _frustum(canvas, (230, 205), (850, 150), "#ffffff90", 0.15)
    _layers(canvas, picture, (300, 190), (835, 145))
    canvas.ellipse(500, 300, 190, 42, light(picture.surface, 0.25))
    if "ice" in picture.toppings:
        _ice(canvas)
    canvas.polygon([(335, 330), (368, 330), (395, 800), (372, 800)], "#ffffff58")
    canvas.ring(500, 230, 205, 46, "#ffffffc8", 7)
    draw_toppings(canvas, picture.toppings, 500, 285, 150, 30)


def _tea(canvas: Canvas, picture: Picture) -> None:
    canvas.shadow(540, 835, 270, 55)
    canvas.ring(735, 560, 105, 130, "#ffffffb0", 34)
    _frustum(canvas, (310, 245), (810, 215), "#ffffffa0", 0.18)
    _layers(canvas, picture, (380, 228), (785, 202))
    canvas.ellipse(500, 380, 228, 54, light(picture.surface, 0.3))
    for x, y in scattered(7, 500, 640, 140, 110):
        canvas.ellipse(x, y, 22, 20, dark(picture.surface, 0.12))
    canvas.polygon([(300, 420), (338, 420), (346, 760), (316, 760)], "#ffffff58")
    canvas.ring(500, 310, 245, 60, "#ffffffd0", 8)
    draw_toppings(canvas, picture.toppings, 500, 378, 165, 34)
    _steam(canvas, 500, 250)


def _layers(canvas: Canvas, picture: Picture, top: tuple[float, float], bottom: tuple[float, float]) -> None:
    """Draw the layers in a glass, with soft borders between them."""
    (y1, r1), (y2, r2) = top, bottom
    total = sum(share for _, share in picture.layers)
    inks = [PALETTE[name] for name, share in picture.layers for _ in range(share)]
    canvas.ellipse(500, y2, r2, r2 * 0.15, inks[0])
    for y in range(round(y2), round(y1), -2):
        height = (y2 - y) / (y2 - y1) * total - 0.5
        below = min(max(math.floor(height), 0), total - 1)
        ink = mix(inks[below], inks[min(below + 1, total - 1)], min(max(height - below, 0), 1))
        half = r2 + (r1 - r2) * (y2 - y) / (y2 - y1)
        canvas.box(500 - half, y - 2, 500 + half, y, ink)


def _ice(canvas: Canvas) -> None:
    for x, y, angle in ((420, 330, 0.3), (545, 350, 0.9), (465, 450, 1.2), (590, 460, 0.2), (400, 560, 0.7)):
        corners = [(x + 56 * math.cos(angle + a), y + 56 * math.sin(angle + a)) for a in steps_between(0, math.tau, 4)]
        canvas.polygon(corners, "#ffffff4c")
        canvas.line(corners[:3], "#ffffff80", 5)


def _steam(canvas: Canvas, x: float, y: float) -> None:
    for shift in (-80, 0, 80):
        wave = [(x + shift + 16 * math.sin(step / 4), y - step * 7) for step in range(22)]
        canvas.line(wave, "#fffffa9c", 13)


_LIFTS: Final[dict[Shape, float]] = {"bun": 80, "cake": 90, "cookie": 110, "croissant": 90, "pancakes": 90}
"""How much higher flat dishes are drawn, so that they are in the middle."""


def _plate(canvas: Canvas, picture: Picture) -> None:
    canvas.lift = _LIFTS.get(picture.shape, 0)
    rim = "#fdfaf5" if picture.accent in {"rye", "golden", "crust"} else PALETTE[picture.accent]
    canvas.shadow(520, 730, 420, 150)
    canvas.ellipse(500, 700, 410, 150, dark(rim, 0.2))
    canvas.ellipse(500, 684, 410, 150, rim)
    canvas.ellipse(500, 688, 320, 108, dark(rim, 0.07))
    canvas.ellipse(500, 694, 312, 102, light(rim, 0.3))


def _croissant(canvas: Canvas, picture: Picture) -> None:
    _plate(canvas, picture)
    canvas.ellipse(500, 715, 290, 60, "#4a241230")
    for side in (1, -1):
        for number, (x, y, rx, ry) in enumerate(((262, 640, 62, 60), (185, 588, 88, 92), (95, 555, 98, 122))):
            ink = mix(picture.surface, PALETTE["crust"], 0.75 - number * 0.25)
            canvas.ellipse(500 + side * x, y + 12, rx, ry, dark(ink, 0.35))
            canvas.ellipse(500 + side * x, y, rx, ry, ink)
            canvas.ellipse(500 + side * (x - 12), y - ry * 0.35, rx * 0.5, ry * 0.35, light(ink, 0.22))
    canvas.ellipse(500, 556, 96, 140, dark(picture.surface, 0.3))
    canvas.ellipse(500, 544, 96, 136, picture.surface)
    canvas.ellipse(492, 470, 40, 34, light(picture.surface, 0.22))
    if "ham" in picture.toppings:
        for down, ink in ((0, PALETTE["cheese"]), (24, PALETTE["ham"]), (52, dark(picture.surface, 0.3))):
            arc = [
                (500 + 285 * math.cos(a), 610 + down + 55 * math.sin(a)) for a in steps_between(0.25, math.pi - 0.25)
            ]
            canvas.line(arc, ink, 34)
    draw_toppings(canvas, picture.toppings, 500, 530, 190, 70)


def _cookie(canvas: Canvas, picture: Picture) -> None:
    _plate(canvas, picture)
    for x, y in ((585, 640), (400, 600)):
        canvas.ellipse(x, y + 34, 205, 128, "#4a241238")
        canvas.ellipse(x, y + 18, 200, 125, dark(picture.surface, 0.35))
        canvas.ellipse(x, y, 200, 125, picture.surface)
        canvas.ellipse(x - 14, y - 12, 165, 98, light(picture.surface, 0.16))
        draw_toppings(canvas, picture.toppings, x, y, 150, 88)


def _bun(canvas: Canvas, picture: Picture) -> None:
    _plate(canvas, picture)
    _frustum(canvas, (540, 250), (680, 262), dark(picture.surface, 0.25), 0.45)
    canvas.ellipse(500, 540, 250, 135, picture.surface)
    spiral = [(500 + 225 * a / 19 * math.cos(a), 540 + 118 * a / 19 * math.sin(a)) for a in steps_between(0, 19, 160)]
    canvas.line(spiral, PALETTE["cocoa"], 15)
    draw_toppings(canvas, picture.toppings, 500, 540, 200, 100)


def _muffin(canvas: Canvas, picture: Picture) -> None:
    _plate(canvas, picture)
    paper = PALETTE[picture.accent]
    _frustum(canvas, (500, 190), (710, 140), mix(paper, "#fdfaf5", 0.55), 0.2)
    for x in range(-6, 7):
        canvas.line([(500 + x * 29, 520), (500 + x * 22, 728 - abs(x) * 1.5)], mix(paper, "#fdfaf5", 0.25), 7)
    for x, y, r in ((350, 480, 88), (650, 480, 88), (500, 500, 110), (420, 400, 120), (580, 400, 120), (500, 350, 120)):
        canvas.ellipse(x, y, r, r * 0.85, picture.surface)
    canvas.ellipse(450, 340, 110, 60, light(picture.surface, 0.25))
    draw_toppings(canvas, picture.toppings, 500, 410, 170, 110)


def _cake(canvas: Canvas, picture: Picture) -> None:
    """Draw a slice: a triangle seen from above, and its long side with the layers."""
    _plate(canvas, picture)
    tip, back, right = (215, 560), (610, 395), (800, 520)
    canvas.polygon([(215, 735), (800, 715), (850, 745), (300, 765)], "#4a241228")
    total, done = sum(share for _, share in picture.layers), 0
    for name, share in picture.layers:
        low, high = (190 - 190 * part / total for part in (done, done + share))
        canvas.polygon([(215, 560 + high), (800, 520 + high), (800, 520 + low), (215, 560 + low)], PALETTE[name])
        done += share
    canvas.polygon([tip, back, right], light(picture.surface, 0.35))
    canvas.line([tip, right], light(picture.surface, 0.6), 8)
    draw_toppings(canvas, picture.toppings, 580, 490, 110, 42)


def _sandwich(canvas: Canvas, picture: Picture) -> None:
    _plate(canvas, picture)
    bread = PALETTE[picture.accent]
    canvas.ellipse(500, 725, 300, 50, "#4a241230")
    canvas.box(225, 620, 775, 725, light(bread, 0.35), 46)
    canvas.box(225, 650, 775, 725, bread, 36)
    y = 625.0
    for name, share in picture.layers:
        height = 20 + share * 9
        if name in {"lettuce", "salmon"}:
            for number in range(10):
                ink = dark(PALETTE[name], 0.1 * (number % 2))
                canvas.ellipse(235 + number * 59, y - height / 2 + 8, 46, height / 2 + 6, ink)
        else:
            canvas.box(235, y - height, 765, y + 6, PALETTE[name], 14)
        y -= height
    canvas.box(220, y - 150, 780, y + 8, light(bread, 0.4), 50)
    canvas.box(220, y - 170, 780, y - 18, bread, 76)
    canvas.box(285, y - 150, 640, y - 118, light(bread, 0.25), 16)
    for x, dot in scattered(16, 500, y - 95, 235, 42):
        canvas.ellipse(x, dot, 9, 6, light(bread, 0.6))


def _pancakes(canvas: Canvas, picture: Picture) -> None:
    _plate(canvas, picture)
    for x, y in ((375, 650), (625, 660), (500, 560)):
        canvas.ellipse(x, y + 62, 172, 84, "#4a241230")
        canvas.ellipse(x, y + 44, 165, 84, light(picture.surface, 0.4))
        canvas.box(x - 165, y, x + 165, y + 44, light(picture.surface, 0.4))
        canvas.ellipse(x, y, 165, 84, dark(picture.surface, 0.25))
        canvas.ellipse(x, y, 148, 72, picture.surface)
    draw_toppings(canvas, picture.toppings, 500, 555, 105, 46)


def _bowl(canvas: Canvas, picture: Picture) -> None:
    body = PALETTE[picture.accent]
    canvas.shadow(530, 800, 290, 60)
    canvas.polygon([(500 + 350 * math.cos(a), 450 + 360 * math.sin(a) ** 0.9) for a in steps_between(0, math.pi)], body)
    canvas.ellipse(500, 802, 130, 26, dark(body, 0.2))
    canvas.ellipse(500, 450, 350, 150, light(body, 0.3))
    canvas.ellipse(500, 458, 326, 132, dark(body, 0.2))
    canvas.ellipse(500, 470, 312, 118, picture.surface)
    draw_toppings(canvas, picture.toppings, 500, 465, 235, 78)


_SHAPES: Final[dict[Shape, Callable[[Canvas, Picture], None]]] = {
    "bowl": _bowl,
    "bun": _bun,
    "cake": _cake,
    "cookie": _cookie,
    "croissant": _croissant,
    "cup": _cup,
    "glass": _glass,
    "muffin": _muffin,
    "mug": _mug,
    "pancakes": _pancakes,
    "sandwich": _sandwich,
    "tea": _tea,
}
