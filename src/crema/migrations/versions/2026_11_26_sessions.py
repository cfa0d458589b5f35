"""Whether the tokens of the last refresh have been used, and the names of roles as people read them."""

import sqlalchemy as sa
from alembic import op

from crema.core.lookalikes import skeleton

revision = "0012_pairs_and_role_names"
down_revision = "0011_audit_log"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("unused_pair", sa.String(16)))
    op.add_column("roles", sa.Column("name_skeleton", sa.String))
    _fill_skeletons()
    op.alter_column("roles", "name_skeleton", nullable=False)
    op.create_unique_constraint("uq_roles_name_skeleton", "roles", ["name_skeleton"])


def _fill_skeletons() -> None:
    """Give each role its skeleton. Of roles that look the same the built-in one, or else the oldest, gets the plain one.

    The others keep their names and get one that nothing else can have; it becomes plain when they are renamed.
    """
    roles = sa.table(
        "roles",
        *(sa.column(name) for name in ("name", "name_skeleton", "is_builtin", "created_at")),
        sa.column("id", sa.Uuid),
    )
    connection = op.get_bind()
    order = roles.c.is_builtin.desc(), roles.c.created_at, roles.c.id
    taken: set[str] = set()
    for role_id, name in connection.execute(sa.select(roles.c.id, roles.c.name).order_by(*order)).all():
        found = skeleton(name)
        unique = f"{found} {role_id}" if found in taken else found
        taken.add(unique)
        connection.execute(sa.update(roles).where(roles.c.id == role_id).values(name_skeleton=unique))


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
