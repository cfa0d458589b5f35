"""The colours and the canvas of the demo pictures.

The canvas is drawn at twice the size, and scaled down at the end.
"""

import math
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Final, TypeAlias

from PIL import Image, ImageColor, ImageDraw, ImageFilter

SIDE: Final = 1000
_SCALE: Final = 2

Point: TypeAlias = tuple[float, float]

PALETTE: Final = {
    # Backgrounds
    "cream": "#f8efe0", "peach": "#fbe0cd", "sage": "#dfe8d6", "sky": "#d9e8ee", "blush": "#f7dcd9",
    "butter": "#fbeac2", "sand": "#eeddc6", "lilac": "#e6deee",
    # Accents
    "brick": "#c4573f", "navy": "#2f4865", "teal": "#3f8482", "ink": "#3a3734", "gold": "#d9a441", "leaf": "#7d9f55",
    "violet": "#8672ad", "honey": "#e0a030", "pumpkin": "#dc7f37", "rose": "#cf7284", "white": "#fdfaf5",
    # Drinks
    "espresso": "#3b2115", "coffee": "#54301d", "crema": "#a8683a", "latte": "#c99867", "foam": "#f3e3cb",
    "milk": "#faf3e8", "cocoa": "#8a563a", "chocolate": "#5a3223", "caramel": "#c9812f", "pistachio": "#c3c088",
    "matcha": "#83a349", "matcha-milk": "#b3c683", "chai": "#cd9a62", "berry": "#d8495a", "orange": "#f5a02e",
    "mango": "#f8b334", "lemonade": "#fbe08a", "clear": "#e6f1ee", "tonic": "#d8c8a0", "sea-buckthorn": "#f2962b",
    "raspberry-tea": "#c93d56", "black-tea": "#a5491d", "fireweed": "#c07a2f",
    # Food
    "golden": "#e0a45a", "crust": "#bf7a3a", "rye": "#8b5a38", "oat": "#ecd9b8", "salmon": "#f58b6c",
    "lettuce": "#88b04b", "cucumber": "#b5d27f", "turkey": "#eec9a8", "cheese": "#f7c64a", "tomato": "#dc4a38",
    "hummus": "#e8cf9b", "ham": "#eb9a94", "pepper": "#d9532f",
}  # fmt: skip


def mix(one: str, other: str, share: float) -> str:
    """Return a mixture of two colours; `share` is that of the other, from 0 to 1."""
    pairs = zip(ImageColor.getrgb(one)[:3], ImageColor.getrgb(other)[:3], strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def dark(ink: str, share: float = 0.15) -> str:
    """Return a darker, warmer colour."""
    return mix(ink, "#4a2412", share)


def light(ink: str, share: float = 0.25) -> str:
    """Return a lighter colour."""
    return mix(ink, "#fffaf0", share)


def scattered(count: int, cx: float, cy: float, rx: float, ry: float, phase: float = 0.6) -> Iterator[Point]:
    """Yield points that are spread evenly over an ellipse by the golden angle. They are the same each time."""
    for number in range(count):
        distance, angle = math.sqrt((number + 0.5) / count), number * 2.39996 + phase
        yield cx + rx * distance * math.cos(angle), cy + ry * distance * math.sin(angle)


def steps_between(start: float, end: float, steps: int = 48) -> list[float]:
    """Return numbers from one to the other in equal steps, both included."""
    return [start + (end - start) * step / steps for step in range(steps + 1)]


class Canvas:
    """A picture that is being drawn, in coordinates from 0 to 1000. Shapes are drawn higher by `lift`."""

    def __init__(self, background: str) -> None:
        self.image = Image.new("RGB", (SIDE * _SCALE, SIDE * _SCALE), background)
        self._pen = ImageDraw.Draw(self.image, "RGBA")
        self.lift = 0.0

    def ellipse(self, cx: float, cy: float, rx: float, ry: float, ink: str) -> None:
        self._pen.ellipse(self._box(cx - rx, cy - ry, cx + rx, cy + ry), ink)

    def polygon(self, points: Sequence[Point], ink: str) -> None:
        self._pen.polygon([(x * _SCALE, (y - self.lift) * _SCALE) for x, y in points], ink)

    def box(self, left: float, top: float, right: float, bottom: float, ink: str, radius: float = 0) -> None:
        self._pen.rounded_rectangle(self._box(left, top, right, bottom), radius * _SCALE, ink)

    def line(self, points: Sequence[Point], ink: str, width: float) -> None:
        """Draw a line with round joints and ends."""
        self._pen.line(
            [(x * _SCALE, (y - self.lift) * _SCALE) for x, y in points], ink, round(width * _SCALE), joint="curve"
        )
        for x, y in (points[0], points[-1]):
            self.ellipse(x, y, width / 2, width / 2, ink)

    def ring(self, cx: float, cy: float, rx: float, ry: float, ink: str, width: float) -> None:
        self._pen.ellipse(self._box(cx - rx, cy - ry, cx + rx, cy + ry), outline=ink, width=round(width * _SCALE))

    def shadow(self, cx: float, cy: float, rx: float, ry: float) -> None:
        """Draw a soft shadow."""
        small, cy = Image.new("L", (250, 250)), cy - self.lift
        ImageDraw.Draw(small).ellipse([(cx - rx) / 4, (cy - ry) / 4, (cx + rx) / 4, (cy + ry) / 4], 85)
        mask = small.filter(ImageFilter.GaussianBlur(7)).resize(self.image.size, Image.Resampling.BILINEAR)
        self.image.paste("#6b3d22", mask=mask)

    def png(self) -> bytes:
        """Return the picture as PNG, scaled down to smooth the edges."""
        buffer = BytesIO()
        self.image.reduce(_SCALE).save(buffer, "PNG", compress_level=4)
        return buffer.getvalue()

    def _box(self, left: float, top: float, right: float, bottom: float) -> list[float]:
        return [left * _SCALE, (top - self.lift) * _SCALE, right * _SCALE, (bottom - self.lift) * _SCALE]
