"""Describes lines of orders in words. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class DescribedLine(Protocol):
    """The fields of a new or a stored line that a description needs."""

    @property
    def name(self) -> str:
        """The product's name."""

    @property
    def quantity(self) -> int:
        """The number of pieces."""

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
    """Return a line in words: quantity, product, size and options, note."""
    details = ", ".join(filter(None, (details_of(line), line.note)))
    return f"{line.quantity} × {line.name}" + (f" ({details})" if details else "")


def details_of(line: DescribedLine) -> str:
    """Return the size and the options in words; an empty text if there are none."""
    size = [line.size["name"]] if line.size else []
    options = [
        option["name"] if option["quantity"] == 1 else f"{option['name']} ×{option['quantity']}"
        for option in line.options
    ]
    return ", ".join([*size, *options])
