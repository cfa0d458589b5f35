"""Codes are computed instead of stored, stay a while when spent, and hold all there is of an unverified registration.

Codes that were mailed before this migration are not valid after it; what they would have confirmed stays, and a new
code can be asked for.
"""

import sqlalchemy as sa
from alembic import op

from crema.db.base import new_id

revision = "0015_registrations"
down_revision = "0014_conversations"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("kept_until", sa.DateTime(timezone=True)))
    op.add_column("one_time_codes", sa.Column("nonce", sa.LargeBinary()))
    op.add_column("one_time_codes", sa.Column("spent_at", sa.DateTime(timezone=True)))
    op.add_column("one_time_codes", sa.Column("language", sa.String(2)))
    op.add_column("one_time_codes", sa.Column("session_id", sa.Uuid()))
    op.create_foreign_key(
        op.f("fk_one_time_codes_session_id"),
        "one_time_codes",
        "sessions",
        ["session_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_index(op.f("ix_one_time_codes_session_id"), "one_time_codes", ["session_id"])
    # Of codes of one attempt, sent again, the first stays; of other codes the last. A hash has a salt of its own.
    op.execute(
        "DELETE FROM one_time_codes later USING one_time_codes sooner WHERE later.user_id = sooner.user_id"
        " AND later.purpose = 'registration' AND sooner.purpose = 'registration'"
        " AND later.password_hash = sooner.password_hash AND later.id > sooner.id"
    )
    op.execute(
        "DELETE FROM one_time_codes sooner USING one_time_codes later WHERE later.user_id = sooner.user_id"
        " AND later.purpose = sooner.purpose AND sooner.purpose <> 'registration' AND later.id > sooner.id"
    )
    op.execute(
        "UPDATE one_time_codes SET language = users.language FROM users"
        " WHERE users.id = user_id AND purpose = 'registration'"
    )
    op.execute("UPDATE one_time_codes SET nonce = uuid_send(gen_random_uuid())")
    op.drop_constraint(op.f("ck_one_time_codes_tries"), "one_time_codes", type_="check")
    op.drop_column("one_time_codes", "tries")
    op.drop_column("one_time_codes", "code_hash")
    _keep_attempts_without_a_code()
    op.execute("UPDATE users SET password_hash = NULL WHERE verified_at IS NULL AND deleted_at IS NULL")
    op.alter_column("one_time_codes", "nonce", nullable=False)
    op.create_index(
        "uq_one_time_codes_user_id_purpose",
        "one_time_codes",
        ["user_id", "purpose"],
        unique=True,
        postgresql_where=sa.text("purpose <> 'registration' AND spent_at IS NULL"),
    )


def _keep_attempts_without_a_code() -> None:
    """Move what the rows of unverified people say of their latest attempt, unless its code says it already."""
    connection = op.get_bind()
    people = connection.execute(
        sa.text(
            "SELECT id FROM users WHERE verified_at IS NULL AND deleted_at IS NULL AND password_hash IS NOT NULL"
            " AND NOT EXISTS (SELECT FROM one_time_codes c WHERE c.user_id = users.id AND c.purpose = 'registration'"
            " AND c.password_hash = users.password_hash) ORDER BY created_at"
        )
    ).scalars()
    for user_id in people.all():
        connection.execute(
            sa.text(
                "INSERT INTO one_time_codes"
                " (id, user_id, purpose, nonce, expires_at, created_at, name, phone, password_hash, language)"
                " SELECT :id, id, 'registration', uuid_send(gen_random_uuid()), created_at, created_at, name, phone,"
                " password_hash, language FROM users WHERE id = :user_id"
            ),
            {"id": new_id(), "user_id": user_id},
        )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
