"""How instants are written in answers: RFC 3339 in UTC, always as wide as PostgreSQL keeps them."""

from datetime import UTC, datetime


def written(instant: datetime) -> str:
    """Write an instant with six digits of its second, were they zeros: texts of one width sort as times do."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
