"""Offers: when products are sold, what a shop has different from the chain, its stop-list, the permission to say so.

Whoever moves a shop's orders along may say what it has run out of.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0033_offers"
down_revision = "0032_product_pricing"
branch_labels = None
depends_on = None

DESCRIPTION = "Say what one's shops have run out of, sell and count, and at which prices."


def upgrade() -> None:
    for table in ("products", "categories"):
        op.add_column(table, sa.Column("schedule", postgresql.JSONB(), server_default="[]", nullable=False))
        op.create_check_constraint("schedule", table, "jsonb_typeof(schedule) = 'array'")
    _create_differences()
    _create_stops()
    op.create_table(
        "shop_offers",
        _reference("shop_id", "shops", primary_key=True),
        sa.Column("version", sa.Uuid(), nullable=False),
        sa.Column("document", postgresql.JSONB(), server_default="{}", nullable=False),
    )
    op.create_table(
        "order_stocks",
        _reference("order_id", "orders", primary_key=True),
        _reference("product_id", "products", ondelete="RESTRICT", primary_key=True, index=True),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.CheckConstraint("quantity > 0", name="quantity"),
    )
    permissions = sa.table("permissions", sa.column("code"), sa.column("description"))
    op.bulk_insert(permissions, [{"code": "stock:write", "description": DESCRIPTION}])
    op.execute(
        "INSERT INTO role_permissions (role_id, permission_code) SELECT id, 'stock:write' FROM roles"
        " WHERE name = 'admin'"
        " OR EXISTS (SELECT FROM role_permissions WHERE role_id = id AND permission_code = 'orders:write')"
    )


def _reference(name: str, table: str, *, ondelete: str = "CASCADE", **column: bool) -> sa.Column:
    return sa.Column(name, sa.Uuid(), sa.ForeignKey(f"{table}.id", ondelete=ondelete), **column)


def _create_differences() -> None:
    op.create_table(
        "shop_products",
        _reference("shop_id", "shops", primary_key=True),
        _reference("product_id", "products", primary_key=True, index=True),
        sa.Column("price", sa.Numeric(16, 2)),
        sa.Column("is_sold", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("stock", sa.Integer()),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("price >= 0", name="price"),
        sa.CheckConstraint("stock >= 0", name="stock"),
    )
    op.create_table(
        "shop_options",
        _reference("shop_id", "shops", primary_key=True),
        _reference("option_id", "options", primary_key=True, index=True),
        sa.Column("price_delta", sa.Numeric(16, 2)),
        sa.Column("is_sold", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )


def _create_stops() -> None:
    op.create_table(
        "stops",
        sa.Column("id", sa.Uuid(), primary_key=True),
        _reference("shop_id", "shops", nullable=False),
        _reference("ingredient_id", "ingredients", index=True),
        _reference("product_id", "products", index=True),
        _reference("option_id", "options", index=True),
        sa.Column("until", sa.DateTime(timezone=True)),
        sa.Column("note", sa.String(300), server_default="", nullable=False),
        _reference("created_by_id", "users", ondelete="SET NULL", index=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("num_nonnulls(ingredient_id, product_id, option_id) = 1", name="one_target"),
        sa.UniqueConstraint("shop_id", "ingredient_id"),
        sa.UniqueConstraint("shop_id", "product_id"),
        sa.UniqueConstraint("shop_id", "option_id"),
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
