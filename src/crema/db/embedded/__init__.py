"""The embedded PostgreSQL, used if no database is configured: a supervisor around ordinary server binaries."""

from crema.db.embedded.binaries import EmbeddedPostgresError, find_binaries
from crema.db.embedded.server import EmbeddedPostgres, find_running

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "find_binaries", "find_running"]
