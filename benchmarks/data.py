"""A chain with a history, for benchmarks: made in the database, the same at every run."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psycopg


@dataclass(frozen=True, slots=True)
class Profile:
    """How much there is."""

    products: int
    users: int
    orders: int


SMALL: Final = Profile(2_000, 50_000, 200_000)
LARGE: Final = Profile(100_000, 200_000, 1_000_000)

STATEMENTS: Final = Path(__file__).with_name("data.sql")


def fill(database_url: str, profile: Profile) -> None:
    """Fill a migrated, empty database. Documents of the products are not written here."""
    statements = STATEMENTS.read_text()
    for name, count in asdict(profile).items():
        statements = statements.replace(f":{name}", str(count))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(statements)  # type: ignore[call-overload]
        connection.execute("VACUUM ANALYZE")
