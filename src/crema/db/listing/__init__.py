"""The list language: how every GET that returns many is filtered, searched, sorted and paged.

A resource declares a `Listing` by hand, next to its SELECTs. What is not declared does not exist.
"""

from crema.db.listing.declaration import (
    DEFAULT_SIZE,
    MAX_FILTERS,
    MAX_OFFSET,
    MAX_SIZE,
    MAX_SORT,
    MAX_WORDS,
    SEARCH_LENGTH,
    Filter,
    Listing,
)
from crema.db.listing.errors import (
    InvalidCursorError,
    InvalidFilterError,
    InvalidSortError,
    PageTooDeepError,
    UnknownFilterError,
)
from crema.db.listing.fields import (
    MAX_IN,
    BooleanField,
    ChoiceField,
    ColumnField,
    EmailField,
    Field,
    InstantField,
    IntegerField,
    LinkField,
    MembersField,
    MoneyField,
    PhoneField,
    SlugField,
    TextField,
    UuidField,
)
from crema.db.listing.query import ListQuery, ListStatement, paginate

__all__ = [
    "DEFAULT_SIZE",
    "MAX_FILTERS",
    "MAX_IN",
    "MAX_OFFSET",
    "MAX_SIZE",
    "MAX_SORT",
    "MAX_WORDS",
    "SEARCH_LENGTH",
    "BooleanField",
    "ChoiceField",
    "ColumnField",
    "EmailField",
    "Field",
    "Filter",
    "InstantField",
    "IntegerField",
    "InvalidCursorError",
    "InvalidFilterError",
    "InvalidSortError",
    "LinkField",
    "ListQuery",
    "ListStatement",
    "Listing",
    "MembersField",
    "MoneyField",
    "PageTooDeepError",
    "PhoneField",
    "SlugField",
    "TextField",
    "UnknownFilterError",
    "UuidField",
    "paginate",
]
