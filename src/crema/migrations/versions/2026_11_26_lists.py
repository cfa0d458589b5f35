"""Indexes for what lists are filtered and searched by: inside products, and inside orders."""

import sqlalchemy as sa
from alembic import op

revision = "0025_lists"
down_revision = "0024_telling"
branch_labels = None
depends_on = None

_SEARCH_TEXT = r"""
    name || E'\n' || note || E'\n' || coalesce(size ->> 'name', '') || E'\n' || replace(replace(
        coalesce(jsonb_path_query_array(options, '$[*].name')::text, '')
        || E'\n' || coalesce(jsonb_path_query_array(options, '$[*].group')::text, '')
        || E'\n' || coalesce(jsonb_path_query_array(contents, '$.ingredients[*].name')::text, ''),
    '\"', '"'), '\\', '\')
"""


def upgrade() -> None:
    op.add_column(
        "order_lines", sa.Column("search_text", sa.Text(), sa.Computed(_SEARCH_TEXT, persisted=True), nullable=False)
    )
    op.create_index("ix_order_lines_product_id", "order_lines", ["product_id"])
    op.create_index(
        "ix_products_allergens",
        "products",
        ["allergens"],
        postgresql_using="gin",
        postgresql_where=sa.text("archived_at IS NULL"),
    )
    op.create_index("ix_sizes_volume_ml", "sizes", ["volume_ml", "product_id"])
    for table, column, where in (
        ("order_lines", "name", None),
        ("order_lines", "search_text", None),
        ("orders", "customer_name", "customer_name IS NOT NULL"),
        ("orders", "pickup_name", "pickup_name IS NOT NULL"),
        ("order_events", "reason", "reason IS NOT NULL"),
        ("shops", "phone", "phone IS NOT NULL"),
        ("shops", "email", "email IS NOT NULL"),
        ("sizes", "name", None),
        ("options", "name", None),
        ("product_images", "alt", None),
        ("categories", "image_alt", "image_alt IS NOT NULL"),
    ):
        op.create_index(
            f"ix_{table}_{column}_trgm",
            table,
            [sa.text(f"replace(lower({column}), 'ё', 'е') gin_trgm_ops")],
            postgresql_using="gin",
            postgresql_where=sa.text(where) if where else None,
        )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
