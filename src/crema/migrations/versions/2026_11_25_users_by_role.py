"""People of a role in the order of ids: who is to be written to is found without reading everybody."""

from alembic import op

revision = "0007_users_by_role"
down_revision = "0006_menu_versions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_users_role_id_id", "users", ["role_id", "id"])
    op.drop_index("ix_users_role_id", table_name="users")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
