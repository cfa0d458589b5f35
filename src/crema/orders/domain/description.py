"""A line of an order in words. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class DescribedLine(Protocol):
    """What a description needs of a line, be it new or stored."""

    @property
    def name(self) -> str:
        """The product's name."""

    @property
    def quantity(self) -> int:
        """How many."""

    @property
    def size(self) -> Mapping[str, Any] | None:
        """The size, with its `name`."""

    @property
    def options(self) -> Sequence[Mapping[str, Any]]:
        """The options, each with `name` and `quantity`."""

    @property
    def note(self) -> str:
        """The customer's note."""


def describe(line: DescribedLine) -> str:
    """Return a line as people read it: how many, of what, made how."""
    details = ", ".join(filter(None, (details_of(line), line.note)))
    return f"{line.quantity} × {line.name}" + (f" ({details})" if details else "")


def details_of(line: DescribedLine) -> str:
    """Return the size and the options in words; empty without any."""
    size = [line.size["name"]] if line.size else []
    options = [
        option["name"] if option["quantity"] == 1 else f"{option['name']} ×{option['quantity']}"
        for option in line.options
    ]
    return ", ".join([*size, *options])
