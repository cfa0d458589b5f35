"""Answers kept under an Idempotency-Key keep their tag; instants in orders' histories get the width of all others."""

import sqlalchemy as sa
from alembic import op

revision = "0026_http"
down_revision = "0025_lists"
branch_labels = None
depends_on = None

_WIDEN = r"""
UPDATE order_events SET changes = (
    SELECT jsonb_agg(
        CASE WHEN change ->> 'field' = 'pickup_at'
        THEN regexp_replace(change::text, '(:[0-9]{2})Z"', '\1.000000Z"', 'g')::jsonb
        ELSE change END
        ORDER BY place
    )
    FROM jsonb_array_elements(changes) WITH ORDINALITY AS each (change, place)
)
WHERE changes @> '[{"field": "pickup_at"}]'
"""


def upgrade() -> None:
    op.add_column("idempotency_records", sa.Column("etag", sa.String(), nullable=True))
    op.execute(_WIDEN)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
