"""RESULTS.md, a section a benchmark, and the goals among them."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import ge
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


@dataclass(frozen=True)
class Goal:
    """A line of the design's goals: reached if the figure stands to the goal as `holds` says."""

    name: str
    figure: float
    goal: float
    unit: str = "x"
    holds: Callable[[float, float], bool] = ge


def goals(wanted: Iterable[Goal]) -> list[str]:
    """Tell of each whether it is reached, beside the figure that RESULTS.md holds from the last time."""
    lines = ["### Goals", "", "| | goal | last time | now | |", "|---|---:|---:|---:|---|"]
    last = dict(re.findall(r"^\| (.+?) \| \S.*? \| .*? \| (\S.*?) \| (?:not )?reached \|$", _written(), re.MULTILINE))
    for each in wanted:
        reached = "reached" if each.holds(each.figure, each.goal) else "not reached"
        sign = "≥" if each.holds is ge else "≤"
        now = f"{each.figure:.2f}{each.unit}"
        lines.append(f"| {each.name} | {sign} {each.goal}{each.unit} | {last.get(each.name, '')} | {now} | {reached} |")
    return lines


def keep(title: str, text: str) -> None:
    """Put a section in the place of the one of this title, or at the end."""
    section = f"## {title}\n\n{text.strip()}\n"
    whole = _written() or "# Results of `make bench`\n"
    old = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    whole = old.sub(lambda _: section + "\n", whole) if old.search(whole) else f"{whole.rstrip()}\n\n{section}"
    RESULTS.write_text(whole.rstrip() + "\n")


def _written() -> str:
    return RESULTS.read_text() if RESULTS.exists() else ""
