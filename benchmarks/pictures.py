"""Pictures for RESULTS.md."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pygal
from pygal.style import CleanStyle

FOLDER: Final = Path(__file__).with_name("pictures")
_LOOK: Final[dict[str, Any]] = {
    "style": CleanStyle(
        font_family="sans-serif",
        background="white",
        plot_background="white",
        colors=("#2f5fa8", "#8c3b57", "#e08a1e", "#7f9c2b", "#1b8a8f", "#5b4aa0", "#444444"),
    ),
    "truncate_label": -1,
    "js": (),
    "no_prefix": True,  # else its id is another at every run
    "logarithmic": True,
    "legend_at_bottom": True,
    "legend_at_bottom_columns": 2,
    "width": 900,
    "height": 480,
}


def bars(name: str, title: str, labels: Sequence[str], values: Mapping[str, Sequence[float | None]]) -> str:
    """Draw groups of bars, a group a label; give the line that shows them in RESULTS.md."""
    highest = max(value for row in values.values() for value in row if value is not None)
    return _draw(
        pygal.Bar(title=title, x_labels=labels, x_label_rotation=10, range=(0.1, highest), zero=0.1, **_LOOK),
        name,
        title,
        values,
    )


def lines(name: str, title: str, labels: Sequence[str], values: Mapping[str, Sequence[float | None]]) -> str:
    """Draw lines over what the labels say; give the line that shows them in RESULTS.md."""
    return _draw(pygal.Line(title=title, x_labels=labels, **_LOOK), name, title, values)


def _draw(chart: Any, name: str, title: str, values: Mapping[str, Sequence[float | None]]) -> str:
    for legend, row in values.items():
        chart.add(legend, row)
    FOLDER.mkdir(exist_ok=True)
    without_date = re.sub(rb"<!--.*?-->", b"", chart.render())
    (FOLDER / f"{name}.svg").write_bytes(without_date)
    return f"![{title}](pictures/{name}.svg)"
