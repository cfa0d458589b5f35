"""Alembic's environment: `crema.db.schema` hands over the connection, CREMA_DATABASE_URL serves Alembic's own command line."""

import os

from alembic import context
from sqlalchemy import create_engine, make_url

from crema.db.schema import include_name
from crema.tables import metadata


def _run(connection):
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_name=include_name,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if (given := context.config.attributes.get("connection")) is not None:
    _run(given)
else:
    url = make_url(os.environ["CREMA_DATABASE_URL"]).set(drivername="postgresql+psycopg")
    with create_engine(url).connect() as connection:
        _run(connection)
