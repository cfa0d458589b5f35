"""The ids of the demo chain. They are the same in every database, so that examples can refer to them."""

import hashlib
from collections.abc import Iterator
from itertools import count
from typing import Final, Literal
from uuid import UUID

Kind = Literal["shop", "category", "ingredient", "modifier_group", "product", "account"]
_MADE: Final = 0x019B76DA_A800
"""The time in the ids, as a UUIDv7 has it: the beginning of 2026, UTC, in milliseconds."""


def id_of(kind: Kind, slug: str, place: int = 0) -> UUID:
    """Return the id of the object with this slug in chain.toml. A place from 1 on is that of one of its parts."""
    random = int.from_bytes(hashlib.sha256(f"{kind}/{slug}/{place}".encode()).digest()[:10])
    value = (_MADE + place) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76  # the version
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)  # the variant


def ids_of(kind: Kind, slug: str) -> Iterator[UUID]:
    """Yield the id of an object, then those of its parts in the order in which they are created."""
    return (id_of(kind, slug, place) for place in count())
