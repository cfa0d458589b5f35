"""Reports over HTTP, as JSON or CSV."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Response

from crema.accounts.deps import OrderReader
from crema.reports import queries
from crema.reports.deps import Days
from crema.reports.schemas import Grouping, SalesOut
from crema.shops.deps import TheChain
from crema.web.problem import refusals
from crema.web.routing import make_router
from crema.web.spreadsheet import csv_response
from crema.web.transaction import Transaction

router = make_router("Reports")


@router.get(
    "/reports/sales",
    summary="Sum up what was sold",
    response_model=SalesOut,
    responses=refusals(401, 403, 404, 422) | {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def sum_sales(
    tx: Transaction,
    actor: OrderReader,
    chain: TheChain,
    days: Days,
    shop_id: Annotated[UUID | None, Query(description="Left out: every shop that one serves.")] = None,
    by: Annotated[Grouping, Query(description="What a row is, beside its shop.")] = "day",
    format: Annotated[Literal["json", "csv"], Query(description="`csv`: a table for spreadsheets.")] = "json",  # noqa: A002 - a query parameter
) -> Response | SalesOut:
    """Completed orders are sold; those cancelled or expired are only counted, those in progress not yet.

    An order belongs to its pick-up time, or to when it was placed if it was wanted as soon as possible. What an
    administrator took off all lists is left out, and so are orders in a currency that isn't the chain's any more.
    """
    shops = await queries.list_served_shops(tx, actor=actor, shop_id=shop_id)
    rows, totals = await queries.sum_sales(
        tx, shops=shops, first=days.first, last=days.last, by=by, currency=chain.currency
    )
    report = SalesOut.model_validate(
        {"from": days.first, "to": days.last, "by": by, "currency": chain.currency, "rows": rows, "totals": totals}
    )
    name = f"sales-{by}-{days.first}-{days.last}.csv"
    return csv_response(name, report.header(), report.table()) if format == "csv" else report
