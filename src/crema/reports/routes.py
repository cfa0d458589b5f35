"""HTTP routes of reports, as JSON or CSV."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Response

from crema.accounts.deps import OrderReader
from crema.reports import queries
from crema.reports.deps import Period
from crema.reports.schemas import Grouping, SalesOut
from crema.shops.deps import TheChain
from crema.web.problem import error_responses
from crema.web.routing import make_router
from crema.web.spreadsheet import csv_response
from crema.web.transaction import Transaction

router = make_router("Reports")


@router.get(
    "/reports/sales",
    summary="Sum up sales",
    response_model=SalesOut,
    responses=error_responses(401, 403, 404, 422) | {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def sum_sales(
    tx: Transaction,
    actor: OrderReader,
    chain: TheChain,
    period: Period,
    shop_id: Annotated[UUID | None, Query(description="By default all shops that you serve.")] = None,
    by: Annotated[Grouping, Query(description="What the rows of a shop are grouped by.")] = "day",
    format: Annotated[Literal["json", "csv"], Query(description="`csv` is a table for spreadsheets.")] = "json",  # noqa: A002 - a query parameter
) -> Response | SalesOut:
    """Sums contain completed orders. Cancelled and expired orders are only counted; orders in progress are left out.

    An order belongs to its pick-up time or, if it was ordered as soon as possible, to the time when it was placed.
    Orders that an administrator has hidden, and orders in a former currency of the chain, are left out.
    """
    shops = await queries.list_served_shops(tx, actor=actor, shop_id=shop_id)
    rows, totals = await queries.sum_sales(
        tx, shops=shops, first=period.first, last=period.last, by=by, currency=chain.currency
    )
    report = SalesOut.model_validate(
        {"from": period.first, "to": period.last, "by": by, "currency": chain.currency, "rows": rows, "totals": totals}
    )
    name = f"sales-{by}-{period.first}-{period.last}.csv"
    return csv_response(name, report.header(), report.table()) if format == "csv" else report
