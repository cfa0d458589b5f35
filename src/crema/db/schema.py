"""Migrate a database to this version's schema, and check that it is there."""

from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, make_url, text

from crema.db import roles

SCRIPTS: Final = Path(__file__).parents[1] / "migrations"
_LOCK: Final = 0x63_72_65_6D_61  # "crema": one migration at a time, whoever starts it


def alembic_config() -> Config:
    """Return Alembic's configuration, without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("file_template", "%%(year)d_%%(month).2d_%%(day).2d_%%(slug)s")
    return config


def upgrade(database_url: str) -> None:
    """Run the missing migrations, then grant the application's role the rows.

    It may run twice at once: the second waits and finds nothing to do.
    """
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        connection.commit()
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        roles.grant(connection)
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
        connection.commit()
    engine.dispose()


def is_current(connection: Connection) -> bool:
    """Return whether the database is at the newest revision of this code."""
    heads = set(ScriptDirectory.from_config(alembic_config()).get_heads())
    return set(MigrationContext.configure(connection).get_current_heads()) == heads


def include_name(name: str | None, type_: str, parent_names: Any) -> bool:
    """Leave procrastinate's tables out of autogenerate: its own schema creates them."""
    del parent_names
    return not (type_ == "table" and name is not None and name.startswith("procrastinate_"))
