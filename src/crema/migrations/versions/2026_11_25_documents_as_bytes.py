"""Products' documents as bytes, in the rows themselves: what a list reads is sent as it lies there.

Text was decoded and encoded again; compressed and out of line it was put together from other pages. What editors see is
kept where it differs from what the public sees.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008_documents_as_bytes"
down_revision = "0007_users_by_role"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in ("full", "public"):
        op.alter_column(
            "product_documents",
            column,
            type_=sa.LargeBinary(),
            nullable=True,
            postgresql_using=f"convert_to(\"{column}\", 'UTF8')",
        )
        op.execute(f'ALTER TABLE product_documents ALTER COLUMN "{column}" SET STORAGE EXTERNAL')
    op.execute("ALTER TABLE product_documents SET (toast_tuple_target = 8160)")
    # Also stores anew, as the columns are stored from now on, what was there.
    op.execute(
        """
        UPDATE product_documents
        SET public = public || ''::bytea, "full" = CASE WHEN public = "full" THEN NULL ELSE "full" || ''::bytea END
        """
    )
    op.create_check_constraint("some", "product_documents", '"full" IS NOT NULL OR public IS NOT NULL')


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
