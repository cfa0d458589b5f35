"""The permissions and the built-in roles."""

import sqlalchemy as sa
import uuid_utils.compat
from alembic import op

revision = "0002_roles"
down_revision = "0001_first_tables"
branch_labels = None
depends_on = None

PERMISSIONS = {
    "menu:write": "Change categories, products, sizes, modifier groups and pictures.",
    "orders:read": "See the orders of one's shops.",
    "orders:write": "Move the orders of one's shops along.",
    "roles:write": "See and change roles and what they allow.",
    "shops:write": "Change shops and their opening hours.",
    "support:write": "Answer customers in the support chat.",
    "users:write": "See and change people.",
}
ROLES = {
    "user": ("Orders for themselves.", []),
    "barista": ("Makes and hands over the orders of their shops.", ["orders:read", "orders:write"]),
    "support": ("Talks to customers of the whole chain.", ["orders:read", "support:write"]),
    "manager": (
        "Runs their shops: menu, orders, hours.",
        ["menu:write", "orders:read", "orders:write", "shops:write", "support:write"],
    ),
    "admin": ("May do everything, in every shop.", list(PERMISSIONS)),
}


def upgrade() -> None:
    permissions = sa.table("permissions", sa.column("code"), sa.column("description"))
    roles = sa.table(
        "roles", sa.column("id", sa.Uuid), sa.column("name"), sa.column("description"), sa.column("is_builtin")
    )
    links = sa.table("role_permissions", sa.column("role_id", sa.Uuid), sa.column("permission_code"))
    op.bulk_insert(permissions, [{"code": code, "description": text} for code, text in PERMISSIONS.items()])
    for name, (description, granted) in ROLES.items():
        role_id = uuid_utils.compat.uuid7()
        op.bulk_insert(roles, [{"id": role_id, "name": name, "description": description, "is_builtin": True}])
        op.bulk_insert(links, [{"role_id": role_id, "permission_code": code} for code in granted])


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
