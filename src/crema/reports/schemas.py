"""JSON of reports."""

from datetime import date
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from crema.schemas import Amount, Output

Grouping = Literal["hour", "day", "shop", "product"]
_EARLIEST: Final = date(2000, 1, 1)
_LATEST: Final = date(2999, 12, 31)


def _written_out(value: object) -> object:
    """Refuse numbers and times, which Pydantic would take for dates."""
    try:
        return date.fromisoformat(str(value)) if len(str(value)) == len("2026-11-26") else _refuse()
    except ValueError:
        return _refuse()


def _refuse() -> date:
    raise ValueError("must be a date such as 2026-11-26")


def _reasonable(day: date) -> date:
    if not _EARLIEST <= day <= _LATEST:
        raise ValueError(f"must be from {_EARLIEST} to {_LATEST}")
    return day


Day = Annotated[
    date,
    BeforeValidator(_written_out),
    AfterValidator(_reasonable),
    WithJsonSchema({"type": "string", "format": "date"}),
]


class SalesTotalsOut(Output):
    """What the orders of one row sum up to."""

    orders: int = Field(description="Completed orders. By product: those that hold it.", examples=[41])
    items: int = Field(description="Drinks and dishes in them.", examples=[57])
    subtotal: Amount = Field(description="Before discounts of whole orders.", examples=["12450.00"])
    discount: Amount | None = Field(description="Null by product.", examples=["0.00"])
    total: Amount | None = Field(description="Null by product.", examples=["12450.00"])
    cancelled: int | None = Field(description="Cancelled orders; null by product.", examples=[2])
    expired: int | None = Field(description="Orders that nobody picked up; null by product.", examples=[1])


class SalesRowOut(SalesTotalsOut):
    """A shop's day, hour of the day or product, or the shop itself."""

    shop_id: UUID
    shop_name: str = Field(examples=["Арбат"])
    day: date | None = Field(description="By day: the date in the shop's zone.", examples=["2026-11-26"])
    hour: int | None = Field(description="By hour: 0 to 23 on the shop's clock, all days together.", examples=[8])
    product_id: UUID | None = Field(description="By product.")
    product_name: str | None = Field(description="By product: its name in the newest order.", examples=["Латте"])


class SalesOut(Output):
    """Sums of what was sold."""

    model_config = ConfigDict(serialize_by_alias=True)

    first: date = Field(serialization_alias="from", validation_alias="from", examples=["2026-11-26"])
    last: date = Field(serialization_alias="to", validation_alias="to", examples=["2026-11-26"])
    by: Grouping
    currency: str = Field(examples=["RUB"])
    rows: list[SalesRowOut]
    totals: SalesTotalsOut

    def header(self) -> list[str]:
        """Name the columns of the table: those that this grouping fills."""
        keys = {"product": ["product_id", "product_name"], "shop": []}.get(self.by, [self.by])
        sums = [name for name in SalesTotalsOut.model_fields if getattr(self.totals, name) is not None]
        return ["shop_id", "shop_name", *keys, *sums, "currency"]

    def table(self) -> list[list[Any]]:
        """Return the rows of the table, and at last the totals, whose keys are empty."""
        rows = [*(row.model_dump(mode="json") for row in self.rows), self.totals.model_dump(mode="json")]
        return [[(row | {"currency": self.currency}).get(name) for name in self.header()] for row in rows]
