"""The list language: how every GET that returns many is filtered, searched, sorted and paged.

A resource declares a `Listing` by hand, next to its SELECTs. What is not declared does not exist.
"""

from crema.db.listing.declaration import Filter, Listing
from crema.db.listing.errors import (
    InvalidCursorError,
    InvalidFilterError,
    InvalidSortError,
    PageTooDeepError,
    UnknownFilterError,
)
from crema.db.listing.fields import (
    BooleanField,
    ChoiceField,
    Field,
    InstantField,
    IntegerField,
    LinkField,
    MoneyField,
    TextField,
    UuidField,
)
from crema.db.listing.query import ListQuery, paginate

__all__ = [
    "BooleanField",
    "ChoiceField",
    "Field",
    "Filter",
    "InstantField",
    "IntegerField",
    "InvalidCursorError",
    "InvalidFilterError",
    "InvalidSortError",
    "LinkField",
    "ListQuery",
    "Listing",
    "MoneyField",
    "PageTooDeepError",
    "TextField",
    "UnknownFilterError",
    "UuidField",
    "paginate",
]
