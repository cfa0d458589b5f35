"""What a list request can be refused for. A value sent is never echoed: JSON may be unable to carry it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crema.core.errors import InvalidError


class UnknownFilterError(InvalidError):
    """Undeclared, or declared for other people's permissions: the two look the same."""

    code = "unknown_filter"
    title = "This list has no such parameter."
    advice = "Use one of `allowed`."

    def __init__(self, name: str, allowed: Iterable[str]) -> None:
        super().__init__(f"This list has no parameter {name[:80]!a}.", allowed=list(allowed))


class InvalidFilterError(InvalidError):
    """A known parameter whose value is not one of its kind, or that is given twice.

    The others are special cases of it that have codes of their own.
    """

    code = "invalid_filter"
    title = "A parameter of this list has a value it can't take."
    advice = "Correct what `errors` names."

    def __init__(self, faults: Mapping[str, str], **extra: Any) -> None:
        errors = [{"loc": ["query", name], "msg": msg, "type": "value_error"} for name, msg in faults.items()]
        super().__init__("; ".join(f"{name}: {msg}" for name, msg in faults.items()), errors=errors, **extra)


class InvalidSortError(InvalidFilterError):
    """Not a list of up to three different sort fields."""

    code = "invalid_sort"
    title = "This list can't be sorted like this."
    advice = "Use up to three different fields of `allowed`."


class InvalidCursorError(InvalidFilterError):
    """Not a cursor of ours, or one of another order."""

    code = "invalid_cursor"
    title = "This cursor does not belong to this list."
    advice = "Start again without `cursor`, and take the next one from the answer."


class PageTooDeepError(InvalidFilterError):
    """Skipping that many rows costs the database too much."""

    code = "page_too_deep"
    title = "This page is too far from the beginning."
    advice = "Go on with `cursor` instead of `page`."


class TooCostlyError(InvalidError):
    """No index finds it, and there is too much to look through."""

    code = "too_costly"
    title = "This query takes too long to answer."
    advice = "Add a filter on an indexed field, such as those the detail names."

    def __init__(self, narrower: Sequence[str]) -> None:
        helping = f"by one of {', '.join(narrower)}" if narrower else "that leaves fewer to look through"
        super().__init__(f"It took longer than 2 s. Add a filter {helping}.", filters=list(narrower))
