"""Sums of what was sold: which orders count, for which day, who sees them, and as a table."""

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx2
import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crema.db.session import Sessions
from crema.orders.domain import OrderStatus
from crema.orders.models import Order, OrderLine
from crema.reports.domain import local_spans
from crema.reports.queries import STATEMENTS
from crema.web.spreadsheet import FORMULA, plain_cell
from factories.orders import make_shop, make_simple_product, place
from fixtures.database import execute_long
from fixtures.people import LogIn

pytestmark = pytest.mark.anyio

TEA = UUID(int=1)
DAY = {"from": "2026-11-23", "to": "2026-11-23"}


async def make_order(
    sessions: Sessions,
    shop_id: UUID,
    user_id: UUID,
    *,
    at: datetime,
    total: str = "250.00",
    status: OrderStatus = OrderStatus.COMPLETED,
    name: str = "Латте",
    product_id: UUID = TEA,
    **fields: Any,
) -> UUID:
    """Insert an order of one line of two, as if it had been placed at this moment."""
    async with sessions.begin() as session:
        values = {
            "number": uuid4().hex[:8],
            "business_date": at.date(),
            "status": status,
            "shop_id": shop_id,
            "user_id": user_id,
            "ready_estimate_at": at,
            "start_at": at,
            "subtotal": Decimal(total),
            "total": Decimal(total),
            "currency": "RUB",
            "created_at": at,
        }
        order = Order(**values | fields)
        order.lines = [
            OrderLine(
                position=0,
                product_id=product_id,
                name=name,
                options=[],
                quantity=2,
                unit_price=Decimal(total) / 2,
                total=Decimal(total),
            )
        ]
        session.add(order)
        await session.flush()
        return order.id


async def sales(client: httpx2.AsyncClient, **parameters: str) -> dict[str, Any]:
    response = await client.get("/reports/sales", params=DAY | parameters)
    assert response.status_code == 200, response.text
    report: dict[str, Any] = response.json()
    return report


async def test_a_cup_that_was_handed_over_is_sold(
    barista: httpx2.AsyncClient, customer: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID
) -> None:
    order = await place(customer, await make_simple_product(sessions))
    open_report = await sales(barista)
    for status in ("accepted", "preparing", "ready", "completed"):
        assert (await barista.patch(f"/order/{order['id']}", json={"status": status})).status_code == 200

    report = await sales(barista)

    assert (open_report["rows"], open_report["totals"]["orders"], open_report["totals"]["total"]) == ([], 0, "0.00")
    sums = {
        "orders": 1,
        "items": 1,
        "subtotal": "250.00",
        "discount": "0.00",
        "total": "250.00",
        "cancelled": 0,
        "expired": 0,
    }
    row = {"shop_id": str(shop_id), "shop_name": "Crema arbat", "day": "2026-11-23"}
    empty = {"hour": None, "product_id": None, "product_name": None}
    assert report == DAY | {"by": "day", "currency": "RUB", "rows": [sums | row | empty], "totals": sums}


async def test_only_completed_orders_are_money_and_the_rest_is_counted(
    admin: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, clock: Any
) -> None:
    for status in OrderStatus:
        await make_order(sessions, shop_id, admin.person.id, at=clock.now, status=status)
    await make_order(sessions, shop_id, admin.person.id, at=clock.now, hidden_at=clock.now)
    await make_order(sessions, shop_id, admin.person.id, at=clock.now, currency="USD")
    await make_order(sessions, shop_id, admin.person.id, at=clock.now, hidden_from_customer_at=clock.now, total="100")

    totals = (await sales(admin))["totals"]

    assert (totals["orders"], totals["items"], totals["total"]) == (2, 4, "350.00")
    assert (totals["cancelled"], totals["expired"]) == (1, 1)


async def test_an_order_ahead_belongs_to_the_day_it_is_wanted_for(
    admin: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, clock: Any
) -> None:
    await make_order(
        sessions, shop_id, admin.person.id, at=clock.now, pickup_at=clock.now + timedelta(days=2), total="100.00"
    )

    placed = await sales(admin)
    wanted = await sales(admin, **{"from": "2026-11-25", "to": "2026-11-25"})

    assert (placed["totals"]["orders"], wanted["totals"]["orders"]) == (0, 1)


async def test_a_day_is_the_shop_s_own_from_midnight_to_midnight(
    admin: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID
) -> None:
    far = await make_shop(sessions, slug="vladivostok", timezone="Asia/Vladivostok")
    me = admin.person.id
    for shop, hours in ((shop_id, 3), (far, 10)):
        midnight = datetime(2026, 11, 23, tzinfo=UTC) - timedelta(hours=hours)
        for at, total in (
            (midnight - timedelta(microseconds=1), "1.00"),
            (midnight, "10.00"),
            (midnight + timedelta(days=1, microseconds=-1), "100.00"),
            (midnight + timedelta(days=1), "1000.00"),
        ):
            await make_order(sessions, shop, me, at=at, total=total)

    report = await sales(admin)
    both = await sales(admin, to="2026-11-24")

    assert [(row["shop_id"], row["total"]) for row in report["rows"]] == [
        (str(shop_id), "110.00"),
        (str(far), "110.00"),
    ]
    assert [(row["day"], row["total"]) for row in both["rows"]] == [
        ("2026-11-23", "110.00"),
        ("2026-11-24", "1000.00"),
    ] * 2


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("America/Havana", date(2026, 11, 1), 25),  # midnight comes twice
        ("America/Santiago", date(2026, 9, 6), 23),  # there is no midnight
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("Asia/Kathmandu", date(2026, 1, 1), 24),
        ("Pacific/Apia", date(2011, 12, 30), 0),  # a day the calendar skipped
    ],
)
def test_a_day_on_which_clocks_change_has_all_its_hours_and_no_other(zone: str, day: date, hours: float) -> None:
    spans = local_spans(ZoneInfo(zone), day, day)

    assert sum((span.ends_at - span.begins_at for span in spans), timedelta()) == timedelta(hours=hours)
    for span in spans:
        assert (span.begins_at + span.offset).date() == day
        assert (span.ends_at + span.offset - timedelta(microseconds=1)).date() == day
        assert span.begins_at.astimezone(ZoneInfo(zone)).utcoffset() == span.offset


async def test_orders_on_the_night_that_clocks_change_are_in_their_hours(
    admin: httpx2.AsyncClient, sessions: Sessions
) -> None:
    berlin = await make_shop(sessions, slug="berlin", timezone="Europe/Berlin")
    for hour in (23, 0, 1, 2):  # 01:30, 02:30, 02:30 again, 03:30
        day = 24 if hour == 23 else 25
        await make_order(sessions, berlin, admin.person.id, at=datetime(2026, 10, day, hour, 30, tzinfo=UTC))

    report = await sales(admin, **{"from": "2026-10-25", "to": "2026-10-25", "by": "hour"})

    assert [(row["hour"], row["orders"]) for row in report["rows"]] == [(1, 1), (2, 2), (3, 1)]


async def test_by_shop_each_shop_that_one_serves_is_a_row(
    admin: httpx2.AsyncClient, barista: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, clock: Any
) -> None:
    far = await make_shop(sessions, slug="far", timezone="Asia/Vladivostok")
    await make_shop(sessions, slug="idle")
    me = admin.person.id
    for shop, hours, total in ((shop_id, 0, "100.00"), (shop_id, -3, "20.00"), (far, 0, "3.00")):
        await make_order(sessions, shop, me, at=clock.now + timedelta(hours=hours), total=total)
    await make_order(sessions, far, me, at=clock.now, status=OrderStatus.CANCELLED)

    everything = await sales(admin, by="shop", to="2026-11-24")
    own = await sales(barista, by="shop")
    foreign = await barista.get("/reports/sales", params=DAY | {"by": "shop", "shop_id": str(far)})

    def rows(report: dict[str, Any]) -> list[tuple[Any, ...]]:
        return [(row["shop_id"], row["orders"], row["total"], row["cancelled"]) for row in report["rows"]]

    assert rows(everything) == [(str(shop_id), 2, "120.00", 0), (str(far), 1, "3.00", 1)]
    assert (everything["totals"]["orders"], everything["totals"]["total"]) == (3, "123.00")
    assert (rows(own), own["totals"]["total"]) == ([(str(shop_id), 2, "120.00", 0)], "120.00")
    assert {(row["day"], row["hour"], row["product_id"]) for row in everything["rows"]} == {(None, None, None)}
    assert foreign.status_code == 404


async def test_by_shop_as_a_table_there_is_no_column_but_the_shop(
    barista: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, clock: Any
) -> None:
    await make_order(sessions, shop_id, barista.person.id, at=clock.now)

    header, row, totals = rows_of(await barista.get("/reports/sales", params=DAY | {"by": "shop", "format": "csv"}))

    assert header == [
        "shop_id", "shop_name", "orders", "items", "subtotal", "discount", "total", "cancelled", "expired", "currency"
    ]  # fmt: skip
    assert row == [str(shop_id), "Crema arbat", "1", "2", "250.00", "0.00", "250.00", "0", "0", "RUB"]
    assert totals == ["", "", *row[2:]]


async def test_by_product_the_newest_name_and_what_sells_most_first(
    admin: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, clock: Any
) -> None:
    me, latte = admin.person.id, UUID(int=2)
    await make_order(sessions, shop_id, me, at=clock.now, product_id=TEA, name="Чай")
    await make_order(sessions, shop_id, me, at=clock.now, product_id=latte, name="Латте большой")
    await make_order(sessions, shop_id, me, at=clock.now - timedelta(hours=1), product_id=latte, name="Латте")
    await make_order(sessions, shop_id, me, at=clock.now, product_id=latte, status=OrderStatus.CANCELLED)

    report = await sales(admin, by="product")

    assert [(row["product_name"], row["orders"], row["items"], row["subtotal"]) for row in report["rows"]] == [
        ("Латте большой", 2, 4, "500.00"),
        ("Чай", 1, 2, "250.00"),
    ]
    assert (report["totals"]["orders"], report["totals"]["subtotal"]) == (3, "750.00")
    assert report["totals"]["total"] is None


async def test_staff_see_the_shops_they_serve_and_no_other_exists(
    barista: httpx2.AsyncClient, admin: httpx2.AsyncClient, log_in: LogIn, sessions: Sessions, shop_id: UUID, clock: Any
) -> None:
    other = await make_shop(sessions, slug="other")
    for shop in (shop_id, other):
        await make_order(sessions, shop, admin.person.id, at=clock.now)
    tied_to_none = await log_in("none@example.com", role="barista", is_tied=True)

    assert {row["shop_id"] for row in (await sales(barista))["rows"]} == {str(shop_id)}
    assert {row["shop_id"] for row in (await sales(admin))["rows"]} == {str(shop_id), str(other)}
    assert {row["shop_id"] for row in (await sales(admin, shop_id=str(other)))["rows"]} == {str(other)}
    assert (await sales(tied_to_none))["rows"] == []
    refused = [await barista.get("/reports/sales", params=DAY | {"shop_id": str(each)}) for each in (other, uuid4())]
    assert [(each.status_code, each.json()["title"]) for each in refused] == [(404, "There is no such resource.")] * 2


async def test_customers_are_refused(customer: httpx2.AsyncClient) -> None:
    assert (await customer.get("/reports/sales", params=DAY)).status_code == 403


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"to": "2026-11-22"}, "invalid_period"),
        ({"from": "2026-08-23"}, "invalid_period"),
        ({"from": "yesterday"}, "validation_error"),
        ({"from": "1795392000"}, "validation_error"),
        ({"from": "2026-02-30"}, "validation_error"),
        ({"from": "0001-01-01", "to": "0001-01-02"}, "validation_error"),
        ({"from": "9999-12-30", "to": "9999-12-31"}, "validation_error"),
        ({"from": "2026-11-23T00:00:00.000000Z"}, "validation_error"),
        ({"by": "year"}, "validation_error"),
        ({"format": "xlsx"}, "validation_error"),
        ({"shop": "1"}, "unknown_parameter"),
    ],
)
async def test_what_is_no_period_is_refused(admin: httpx2.AsyncClient, parameters: dict[str, str], code: str) -> None:
    response = await admin.get("/reports/sales", params=DAY | parameters)

    assert (response.status_code, response.json()["code"]) == (422, code)


async def test_92_days_are_taken(admin: httpx2.AsyncClient) -> None:
    assert (await sales(admin, **{"from": "2026-08-24"}))["rows"] == []


def rows_of(response: httpx2.Response) -> list[list[str]]:
    return list(csv.reader(io.StringIO(response.content.decode("utf-8-sig"), newline="")))


async def test_the_table_says_what_the_json_says(
    admin: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, clock: Any
) -> None:
    await make_order(sessions, shop_id, admin.person.id, at=clock.now)

    response = await admin.get("/reports/sales", params=DAY | {"format": "csv"})

    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == 'attachment; filename="sales-day-2026-11-23-2026-11-23.csv"'
    assert rows_of(response) == [
        [
            *("shop_id", "shop_name", "day", "orders", "items", "subtotal", "discount", "total"),
            *("cancelled", "expired", "currency"),
        ],
        [str(shop_id), "Crema arbat", "2026-11-23", "1", "2", "250.00", "0.00", "250.00", "0", "0", "RUB"],
        ["", "", "", "1", "2", "250.00", "0.00", "250.00", "0", "0", "RUB"],
    ]


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("//x","y")', '"=1"', "=1,=2"]


async def test_c6_no_cell_of_an_export_is_a_formula(
    admin: httpx2.AsyncClient, sessions: Sessions, shop_id: UUID, clock: Any
) -> None:
    for place_, name in enumerate(FORMULAS):
        await make_order(sessions, shop_id, admin.person.id, at=clock.now, name=name, product_id=UUID(int=place_ + 1))
    manager = await admin.patch(f"/shop/{shop_id}", json={"name": '=cmd|"/c calc"!A1'})
    assert manager.status_code == 200

    rows = rows_of(await admin.get("/reports/sales", params=DAY | {"by": "product", "format": "csv"}))

    assert {row[3] for row in rows[1:-1]} == {f"'{name}" if name.startswith(FORMULA) else name for name in FORMULAS}
    assert {row[1] for row in rows[1:-1]} == {'\'=cmd|"/c calc"!A1'}
    assert [cell for row in rows for cell in row if cell.startswith(FORMULA)] == []


@pytest.mark.parametrize("text", ["=", "+7", "-5", "@x", "\tx", "\rx"])
def test_c6_what_begins_a_formula_gets_an_apostrophe(text: str) -> None:
    assert plain_cell(text) == f"'{text}"


async def test_the_rows_of_a_report_are_found_by_index(engine: AsyncEngine) -> None:
    """30,000 orders at 100 shops: a report of one shop reads those of its days."""
    async with engine.connect() as connection, connection.begin() as outer:
        await fill(connection)
        for by, statement in STATEMENTS.items():
            spans = local_spans(ZoneInfo("Europe/Moscow"), date(2026, 1, 5), date(2026, 1, 6))
            values = {
                "shop_ids": [UUID(int=7)],
                "begins": [spans[0].begins_at],
                "ends": [spans[0].ends_at],
                "offsets": [spans[0].offset],
                "currency": "RUB",
            }
            plan = await explain(connection, statement, values)
            assert "ix_orders_shop_id_wanted_at" in plan, (by, plan)
            assert "Seq Scan" not in plan, (by, plan)
        await outer.rollback()


FILL = (
    """INSERT INTO orders (id, number, business_date, status, shop_id, user_id, ready_estimate_at, start_at, subtotal,
                           total, currency, created_at)
       SELECT lpad(to_hex(n), 32, '0')::uuid, n, moment, 'completed', lpad(to_hex(n % 100 + 1), 32, '0')::uuid,
              '00000000-0000-0000-0000-000000000001', moment, moment, 0, 0, 'RUB', moment
       FROM (SELECT n, timestamptz '2026-01-01' + n * interval '1 minute' AS moment
             FROM generate_series(1, 30000) n) x""",
    """INSERT INTO order_lines (id, order_id, position, product_id, name, options, quantity, unit_price, total)
       SELECT id, id, 0, id, 'x', '[]', 1, 0, 0
       FROM (SELECT lpad(to_hex(n), 32, '0')::uuid AS id FROM generate_series(1, 30000) n) x""",
)


async def fill(connection: AsyncConnection) -> None:
    await connection.exec_driver_sql("SET LOCAL statement_timeout = '600s'")
    for statement in (
        """INSERT INTO shops (id, slug, name, address, timezone)
           SELECT lpad(to_hex(n), 32, '0')::uuid, 's-' || n, n, n, 'Europe/Moscow' FROM generate_series(1, 100) n""",
        """INSERT INTO users (id, email, role_id)
           SELECT '00000000-0000-0000-0000-000000000001', 'x@example.com', id FROM roles WHERE name = 'user'""",
        *FILL,
        "ANALYZE shops, orders, order_lines",
    ):
        await execute_long(connection, statement)


async def explain(connection: AsyncConnection, statement: Any, values: dict[str, Any]) -> str:
    compiled = statement.params(values).compile(
        dialect=postgresql.dialect(),  # type: ignore[no-untyped-call]
        compile_kwargs={"literal_binds": True},
    )
    sql = re.sub(r"(ARRAY\['0[^]]*\])", r"\1::uuid[]", str(compiled).replace("%%", "%"))
    sql = re.sub(r"(ARRAY\['2[^]]*\])", r"\1::timestamptz[]", sql)
    rows = await connection.exec_driver_sql(f"EXPLAIN {sql}")
    return "\n".join(row[0] for row in rows)
