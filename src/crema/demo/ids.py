"""The ids of the demo chain: the same in every database, so that examples may name them."""

import hashlib
from collections.abc import Iterator
from itertools import count
from typing import Final, Literal
from uuid import UUID

Kind = Literal["shop", "category", "ingredient", "modifier_group", "product", "account"]
_MADE: Final = 0x019B76DA_A800
"""When the demo chain was made, as a UUIDv7 tells it: milliseconds of the beginning of 2026, UTC."""


def id_of(kind: Kind, slug: str, place: int = 0) -> UUID:
    """Return the id of what is written under this slug in chain.toml; of its parts by their place, from 1."""
    random = int.from_bytes(hashlib.sha256(f"{kind}/{slug}/{place}".encode()).digest()[:10])
    value = (_MADE + place) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76  # the version
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)  # the variant


def ids_of(kind: Kind, slug: str) -> Iterator[UUID]:
    """Give the id of something, then those of its parts in the order in which they are made."""
    return (id_of(kind, slug, place) for place in count())
