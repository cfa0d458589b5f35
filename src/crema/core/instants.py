"""Instants in answers: RFC 3339, in UTC, with the microseconds that PostgreSQL stores."""

from datetime import UTC, datetime


def format_instant(instant: datetime) -> str:
    """Return an instant with six decimals of its second, even if they are zero: texts of one width sort as times do."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
