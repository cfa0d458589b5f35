"""Mails that expire and can be resent, and the permission to see them.

Mails that wait at the time of the migration start their life anew: they may have been tried for hours already.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016_mail_delivery"
down_revision = "0015_registrations"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mails", sa.Column("content_refusals", sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column(
        "mails", sa.Column("queued_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
    )
    op.add_column("mails", sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("mails", sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True))
    # Codes are valid for 15 minutes from their creation, not from now.
    op.execute(
        "UPDATE mails SET queued_at = created_at WHERE status <> 'queued'"
        " OR template IN ('verification_code', 'password_reset', 'email_change_code')"
    )
    op.execute("UPDATE mails SET failed_at = created_at WHERE status = 'failed'")
    op.drop_constraint("status", "mails", type_="check")
    op.create_check_constraint("status", "mails", "status IN ('queued', 'sent', 'failed', 'expired')")
    op.create_index(
        "ix_mails_status_queued_at", "mails", ["status", "queued_at"], postgresql_where=sa.text("status <> 'sent'")
    )
    op.execute(
        "INSERT INTO permissions (code, description) VALUES"
        " ('mails:write', 'See which mails were sent and which were not, and send them again.')"
    )
    op.execute(
        "INSERT INTO role_permissions (role_id, permission_code) SELECT id, 'mails:write' FROM roles WHERE name = 'admin'"
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
