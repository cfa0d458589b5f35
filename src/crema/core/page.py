"""One page of a list."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list. `page` and `total` are None if it was read by cursor.

    If there are too many items to count, `total` is None, too, and `total_at_least` is a lower bound.
    """

    items: Sequence[T]
    size: int
    page: int | None
    total: int | None
    next_cursor: str | None
    total_at_least: int | None = None

    def map(self, change: Callable[[T], U]) -> "Page[U]":
        """Return the same page of other items, made of its own."""
        return self.with_items([change(item) for item in self.items])

    def with_items(self, items: Sequence[U]) -> "Page[U]":
        """Return the same page of other items."""
        return Page(items, self.size, self.page, self.total, self.next_cursor, self.total_at_least)

    @property
    def pages(self) -> int | None:
        """The number of pages; 0 for an empty list."""
        return None if self.total is None else -(-self.total // self.size)
