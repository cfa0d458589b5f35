"""Serving every shop becomes a right. Until now it was what remained when somebody was tied to no shop.

Who serves the whole chain today does so tomorrow: `shops:all` goes to administrators, and to the roles that answer in the
support chat and move no orders. Of these people, those who are tied to shops served only those; `is_tied` keeps it so.
A role that also changes shops does not get it: with the right it would change all of them, which was never theirs.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010_shops_all"
down_revision = "0009_order_changes"
branch_labels = None
depends_on = None

DESCRIPTION = "Serve every shop of the chain, not only those one is tied to."


def upgrade() -> None:
    op.add_column("users", sa.Column("is_tied", sa.Boolean, server_default="false", nullable=False))
    op.execute("UPDATE users SET is_tied = true WHERE EXISTS (SELECT FROM staff_shops WHERE user_id = users.id)")
    permissions = sa.table("permissions", sa.column("code"), sa.column("description"))
    op.bulk_insert(permissions, [{"code": "shops:all", "description": DESCRIPTION}])
    op.execute(
        "INSERT INTO role_permissions (role_id, permission_code) SELECT id, 'shops:all' FROM roles"
        " WHERE is_builtin AND name = 'admin'"
        " OR EXISTS (SELECT FROM role_permissions WHERE role_id = id AND permission_code = 'support:write')"
        " AND NOT EXISTS (SELECT FROM role_permissions WHERE role_id = id"
        " AND permission_code IN ('orders:write', 'shops:write'))"
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
