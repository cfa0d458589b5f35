"""JSON of reports."""

from datetime import date
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from crema.schemas import Amount, Output

Grouping = Literal["hour", "day", "shop", "product"]
_EARLIEST: Final = date(2000, 1, 1)
_LATEST: Final = date(2999, 12, 31)


def _parse_date(value: object) -> object:
    """Return the date; refuse numbers and times, which Pydantic would accept as dates."""
    try:
        return date.fromisoformat(str(value)) if len(str(value)) == len("2026-11-26") else _raise_not_a_date()
    except ValueError:
        return _raise_not_a_date()


def _raise_not_a_date() -> date:
    raise ValueError("must be a date such as 2026-11-26")


def _check_range(day: date) -> date:
    if not _EARLIEST <= day <= _LATEST:
        raise ValueError(f"must be from {_EARLIEST} to {_LATEST}")
    return day


Day = Annotated[
    date,
    BeforeValidator(_parse_date),
    AfterValidator(_check_range),
    WithJsonSchema({"type": "string", "format": "date"}),
]


class SalesTotalsOut(Output):
    """The sums of the orders of one row."""

    orders: int = Field(description="Completed orders; by product, those that contain it.", examples=[41])
    items: int = Field(description="Items of these orders.", examples=[57])
    subtotal: Amount = Field(description="Before discounts on whole orders.", examples=["12450.00"])
    discount: Amount | None = Field(description="Null by product.", examples=["0.00"])
    total: Amount | None = Field(description="Null by product.", examples=["12450.00"])
    cancelled: int | None = Field(description="Cancelled orders; null by product.", examples=[2])
    expired: int | None = Field(description="Orders that nobody picked up; null by product.", examples=[1])


class SalesRowOut(SalesTotalsOut):
    """The sums of a shop, or of one of its days, hours of the day or products."""

    shop_id: UUID
    shop_name: str = Field(examples=["Арбат"])
    day: date | None = Field(description="By day: the date in the zone of the shop.", examples=["2026-11-26"])
    hour: int | None = Field(description="By hour: 0 to 23 in the zone of the shop, all days together.", examples=[8])
    product_id: UUID | None = Field(description="By product.")
    product_name: str | None = Field(description="By product: its name in the newest order.", examples=["Латте"])


class SalesOut(Output):
    """A report of sales."""

    model_config = ConfigDict(serialize_by_alias=True)

    first: date = Field(serialization_alias="from", validation_alias="from", examples=["2026-11-26"])
    last: date = Field(serialization_alias="to", validation_alias="to", examples=["2026-11-26"])
    by: Grouping
    currency: str = Field(examples=["RUB"])
    rows: list[SalesRowOut]
    totals: SalesTotalsOut

    def header(self) -> list[str]:
        """Return the names of the columns of the CSV table: those that this grouping fills."""
        keys = {"product": ["product_id", "product_name"], "shop": []}.get(self.by, [self.by])
        sums = [name for name in SalesTotalsOut.model_fields if getattr(self.totals, name) is not None]
        return ["shop_id", "shop_name", *keys, *sums, "currency"]

    def table(self) -> list[list[Any]]:
        """Return the rows of the CSV table. The last one has the totals, without keys."""
        rows = [*(row.model_dump(mode="json") for row in self.rows), self.totals.model_dump(mode="json")]
        return [[(row | {"currency": self.currency}).get(name) for name in self.header()] for row in rows]
