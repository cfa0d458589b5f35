"""Orders: history of edits, work of lines, deletion by customers; cart items with the names they were chosen by."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009_order_changes"
down_revision = "0008_documents_as_bytes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("order_events", sa.Column("changes", JSONB(none_as_null=True), nullable=True))
    op.add_column("orders", sa.Column("hidden_from_customer_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("order_lines", sa.Column("preparation_seconds", sa.Integer(), server_default="0", nullable=False))
    op.execute(
        "UPDATE order_lines SET preparation_seconds = products.preparation_seconds "
        "FROM products, orders WHERE products.id = order_lines.product_id AND orders.id = order_lines.order_id "
        "AND orders.status IN ('placed', 'accepted', 'preparing')"
    )
    op.add_column("cart_items", sa.Column("size_name", sa.String(length=40), nullable=True))
    op.execute("UPDATE cart_items SET size_name = sizes.name FROM sizes WHERE sizes.id = cart_items.size_id")
    op.execute(
        """
        UPDATE cart_items SET options = (
            SELECT coalesce(
                jsonb_agg(
                    choice || jsonb_build_object(
                        'name', coalesce(options.name, ''), 'group', coalesce(modifier_groups.name, '')
                    )
                    ORDER BY place
                ),
                '[]'
            )
            FROM jsonb_array_elements(cart_items.options) WITH ORDINALITY AS chosen (choice, place)
            LEFT JOIN options ON options.id = (choice ->> 'option_id')::uuid
            LEFT JOIN modifier_groups ON modifier_groups.id = options.group_id
        )
        """
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
