"""RESULTS.md: one table of all goals, then a section a benchmark."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RESULTS: Final = Path(__file__).with_name("RESULTS.md")
QUICK: Final = os.environ.get("QUICK") == "1"
"""A first look: less data, one short round each."""
KIND: Final = "quick" if QUICK else "whole"
_TITLE: Final = "# Results of `make bench`\n"
_ABOUT: Final = (
    "Ratios of CPU are of server and PostgreSQL together where nothing else is said. A quick run (`QUICK=1`) has less"
    " data and one short round a figure. What a benchmark did not measure this time keeps its row."
)


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that a benchmark measures, and how large (or, if `is_most`, how small) it is meant to be."""

    name: str
    goal: float
    unit: str = "x"
    is_most: bool = False

    def judge(self, figure: float) -> str:
        """Say whether a figure reaches the goal."""
        reaches = figure <= self.goal if self.is_most else figure >= self.goal
        return "reached" if reaches else "not reached"

    @property
    def wanted(self) -> str:
        """The goal as it is printed."""
        return f"{'≤' if self.is_most else '≥'} {self.goal:g}{self.unit}"


def _most(name: str, goal: float, unit: str = "x") -> Goal:
    return Goal(name, goal, unit, is_most=True)


def _of_route(route: str, over_product: float, over_orm: float) -> list[Goal]:
    return [_most(f"{route}, over product by id", over_product), _most(f"{route}, over the ORM's", over_orm)]


GOALS: Final = (
    Goal("product by id, of a bare ASGI + asyncpg without reset, server CPU", 0.5),
    _most("product by id, signed in over anonymous", 1.25),
    Goal("list of 20, the ORM's over ours", 12),
    _most("list of 20, 5,000 different questions over one", 1.2),
    Goal("whole menu of 45 products, sent whole, the ORM's over ours", 60),
    _most("whole menu of 45 products, on the wire, compressed", 35, " kB"),
    _most("whole menu of 45 products, compressed over plain", 1.2),
    *_of_route("/me", 1.5, 0.3),
    *_of_route("/order/{order_id}", 2.5, 0.3),
    *_of_route("/shop/{shop_id}", 2.5, 0.3),
    *_of_route("/orders", 5, 0.5),
    *_of_route("/users", 4, 0.5),
    *_of_route("/chats", 4, 0.5),
    *_of_route("/chat/{conversation_id}/messages", 4, 0.5),
    _most("first page of the most orders with its total, over the same by cursor", 2),
    Goal("add to the cart, the ORM's over ours", 6),
    Goal("place an order, the ORM's over ours", 3),
    Goal("place an order, requests/s over those of pgbench", 0.6),
    _most("mails of an order, CPU of the worker over the order's own", 1),
    _most("live board, 50 readers, 100 orders/s offered: p99 of the lag", 0.5, " s"),
    _most("live board, 50 readers, 100 orders/s offered: orders refused", 0, " %"),
    _most("live board, 50 readers, 100 orders/s offered: server CPU of an order over its own unwatched", 1.2),
    Goal("chat, fan-out to 500: deliveries/s over those of uvicorn's default with a bare loop", 1),
    _most("chat, one message to ten in another process: p50", 35, " ms"),
    _most("chat, one message to ten in another process: p99", 120, " ms"),
    _most("idle socket, memory", 30, " kB"),
    _most("2,000 idle sockets, CPU", 5, " % of a core"),
    Goal("a locked table exhausts its pool: `/me` and `/health/ready` that answer", 100, " %"),
    _most("periodic jobs, steepest slope by what has piled up", 0.05, ""),
    _most("requests, steepest slope by orders, the default request included", 0.05, ""),
    _most("requests, steepest slope by products, the default request included", 0.05, ""),
    Goal("server CPU of one process over that of two", 0.85),
    _most("memory of the process after the load", 150, " MiB"),
    _most("start to first answer, the database being there", 2, " s"),
    _most("menu during a flood of logins: p99", 100, " ms"),
)
_NAMES: Final = frozenset(goal.name for goal in GOALS)


def record(figures: Mapping[str, float], *, unclaimed: Mapping[str, str] | None = None) -> None:
    """Write figures into the table of goals, each beside its goal and what it was the last time.

    `unclaimed` are those that this machine can't tell, with the reason.
    """
    unclaimed = unclaimed or {}
    unknown = figures.keys() - _NAMES
    assert not unknown, f"these have no goal: {unknown}"
    rows = {cells[0]: cells for cells in _rows()}
    for goal in GOALS:
        if goal.name in figures:
            figure = figures[goal.name]
            last = rows[goal.name][3] if goal.name in rows else ""
            said = f"not claimed: {unclaimed[goal.name]}" if goal.name in unclaimed else goal.judge(figure)
            rows[goal.name] = [goal.name, goal.wanted, last, f"{figure:.3g}{goal.unit}", KIND, said]
        elif goal.name not in rows:
            rows[goal.name] = [goal.name, goal.wanted, "", "", "", "not measured"]
    lines = ["| | goal | last time | now | run | |", "|---|---:|---:|---:|---|---|"]
    lines += [f"| {' | '.join(rows[goal.name])} |" for goal in GOALS]
    keep("Goals", "\n".join([_ABOUT, "", *lines]), note=False)


def _rows() -> list[list[str]]:
    section = re.search(r"^## Goals\n(.*?)(?=^## |\Z)", _written(), re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^\| (.*) \|$", section[1], re.MULTILINE) if section else []
    return [cells for line in lines if (cells := line.split(" | "))[0] in _NAMES and len(cells) == 6]


def keep(title: str, text: str, *, note: bool = True) -> None:
    """Put a section in the place of the one of this title, or at the end; a quick run says so."""
    said = "A quick run: less data, one short round a figure.\n\n" if QUICK and note else ""
    section = f"## {title}\n\n{said}{text.strip()}\n"
    whole = _written() or _TITLE
    old = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if old.search(whole):
        whole = old.sub(lambda _: section + "\n", whole)
    elif title == "Goals":
        whole = whole.replace(_TITLE, f"{_TITLE}\n{section}", 1)
    else:
        whole = f"{whole.rstrip()}\n\n{section}"
    RESULTS.write_text(whole.rstrip() + "\n")


def _written() -> str:
    return RESULTS.read_text() if RESULTS.exists() else ""
