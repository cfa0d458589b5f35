"""Two database roles: an owner, which migrates, and `crema_app`, which only reads and writes rows.

An injected statement could reach rows, but no DDL, no TRUNCATE and no files. Rows of the audit log can't be changed.
"""

from typing import Final

from sqlalchemy import Connection, create_engine, make_url, text

APP_ROLE: Final = "crema_app"

_CREATE: Final = text("CREATE ROLE crema_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE")
_EXISTS: Final = text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'crema_app')")
_GRANTS: Final = (
    text("GRANT USAGE ON SCHEMA public TO crema_app"),
    text("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO crema_app"),
    text("REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM crema_app"),
    text("REVOKE UPDATE, DELETE ON audit_events FROM crema_app"),
    text("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO crema_app"),
    text("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO crema_app"),
)


def make_app_role(owner_url: str) -> str:
    """Create the application's role, without a password, unless it exists; return the database's URL for it.

    For the embedded server, whose socket is protected by its folder. Elsewhere the operator creates the role.
    """
    engine = create_engine(make_url(owner_url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        if not connection.scalar(_EXISTS):
            connection.execute(_CREATE)
    engine.dispose()
    return as_app(owner_url)


def grant(connection: Connection) -> None:
    """Grant the application's role, if it exists, the rows of all tables that exist by now."""
    if connection.scalar(_EXISTS):
        for statement in _GRANTS:
            connection.execute(statement)


def as_app(database_url: str) -> str:
    """Return the embedded database's URL for the application's role."""
    return make_url(database_url).set(username=APP_ROLE, password=None).render_as_string(hide_password=False)
