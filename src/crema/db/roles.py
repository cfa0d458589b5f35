"""Two roles: an owner, who migrates, and `crema_app`, who reads and writes rows and can alter nothing.

Statements that somebody smuggles into a request so never reach further than rows: no DDL, no TRUNCATE, no files. And
rows of the audit log, once written, not even these.
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
    """Make the application's role where there is none, without a password, and give the address for it.

    For the embedded server, whose socket is its guard. Elsewhere the role is the operator's to make.
    """
    engine = create_engine(make_url(owner_url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        if not connection.scalar(_EXISTS):
            connection.execute(_CREATE)
    engine.dispose()
    return as_app(owner_url)


def grant(connection: Connection) -> None:
    """Give the application's role, where there is one, rows to read and write in all tables there are by now."""
    if connection.scalar(_EXISTS):
        for statement in _GRANTS:
            connection.execute(statement)


def as_app(database_url: str) -> str:
    """Give the embedded database's address for the application's role."""
    return make_url(database_url).set(username=APP_ROLE, password=None).render_as_string(hide_password=False)
