"""Extensions, and the tables of the job queue."""

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0000_extensions_and_jobs"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
    # procrastinate's own schema at the locked version (3.10); an upgrade that changes it brings a migration.
    op.get_bind().exec_driver_sql(SchemaManager.get_schema().replace("%", "%%"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
