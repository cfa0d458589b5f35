"""One page of a list, as every list route answers it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`page` and `total` are None when the list was walked by cursor."""

    items: Sequence[T]
    size: int
    page: int | None
    total: int | None
    next_cursor: str | None

    def map(self, change: Callable[[T], U]) -> "Page[U]":
        """Give the same page of other items."""
        return Page([change(item) for item in self.items], self.size, self.page, self.total, self.next_cursor)

    @property
    def pages(self) -> int | None:
        """How many pages there are; 0 for an empty list."""
        return None if self.total is None else -(-self.total // self.size)
