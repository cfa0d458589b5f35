"""Orders: the name that is called out, and numbers unique among a shop's orders in progress.

Of orders in progress that share a number, which were possible until now, the newest keeps it. The others get the next
free ones of their days.
"""

from datetime import date
from uuid import UUID

import sqlalchemy as sa
from alembic import op

from crema.db.base import new_id

revision = "0024_telling"
down_revision = "0023_nutrition"
branch_labels = None
depends_on = None

OPEN = "status IN ('accepted', 'placed', 'preparing', 'ready')"
DUPLICATES = f"""
    SELECT id, shop_id, business_date, number, status
    FROM (
        SELECT *, row_number() OVER (PARTITION BY shop_id, number ORDER BY created_at DESC, id DESC) AS place
        FROM orders WHERE {OPEN}
    ) AS numbered
    WHERE place > 1 ORDER BY id
"""  # noqa: S608 - written here, nobody's input
COUNT_UP = """
    INSERT INTO order_number_counters (shop_id, business_date, last) VALUES (:shop_id, :day, 1)
    ON CONFLICT (shop_id, business_date) DO UPDATE SET last = order_number_counters.last + 1 RETURNING last
"""
IS_TAKEN = f"""
    SELECT EXISTS (
        SELECT FROM orders WHERE shop_id = :shop_id AND number = :number AND (business_date = :day OR {OPEN})
    )
"""  # noqa: S608 - written here, nobody's input
NOTE = """
    INSERT INTO order_events (id, order_id, from_status, status, actor_role, changes)
    VALUES (
        :event_id, :order_id, :status, :status, 'system',
        jsonb_build_array(
            jsonb_build_object('field', 'number', 'before', CAST(:before AS text), 'after', CAST(:after AS text))
        )
    )
"""


def upgrade() -> None:
    op.add_column("orders", sa.Column("pickup_name", sa.String(length=40), nullable=True))
    op.execute(
        """
        UPDATE orders SET pickup_name = coalesce(nullif(orders.customer_name, ''), left(users.name, 40))
        FROM orders AS these LEFT JOIN users ON users.id = these.user_id
        WHERE these.id = orders.id
        """
    )
    _renumber_duplicates()
    op.create_index(
        "uq_orders_shop_id_number_open", "orders", ["shop_id", "number"], unique=True, postgresql_where=sa.text(OPEN)
    )
    op.create_index(
        "ix_orders_hidden", "orders", ["created_at", "id"], postgresql_where=sa.text("hidden_at IS NOT NULL")
    )


def _renumber_duplicates() -> None:
    connection = op.get_bind()
    for order in connection.execute(sa.text(DUPLICATES)).all():
        number = _free_number(connection, shop_id=order.shop_id, day=order.business_date)
        connection.execute(
            sa.text("UPDATE orders SET number = :number WHERE id = :id"), {"number": number, "id": order.id}
        )
        event = {"event_id": new_id(), "order_id": order.id, "status": order.status}
        connection.execute(sa.text(NOTE), event | {"before": order.number, "after": number})


def _free_number(connection: sa.Connection, *, shop_id: UUID, day: date) -> str:
    while True:
        last = connection.scalar(sa.text(COUNT_UP), {"shop_id": shop_id, "day": day})
        number = _number_of(last or 1, day=day)
        if not connection.scalar(sa.text(IS_TAKEN), {"shop_id": shop_id, "number": number, "day": day}):
            return number


def _number_of(sequence: int, *, day: date) -> str:
    """Name the n-th order of a day, as orders were numbered at this revision."""
    block, rest = divmod(sequence - 1, 999)
    letters = ""
    while block:
        block, letter = divmod(block - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return f"{chr(ord('A') + day.toordinal() % 26)}{letters}-{rest + 1:03d}"


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
