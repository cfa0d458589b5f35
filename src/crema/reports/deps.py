"""What the reports' routes take from the request."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from fastapi import Depends, Query

from crema.reports.domain import MAX_DAYS, check_period
from crema.reports.schemas import Day


@dataclass(frozen=True, slots=True)
class LocalDays:
    """Whole days of a shop's own calendar, both ends included."""

    first: date
    last: date


async def _days(
    first: Annotated[
        Day, Query(alias="from", description="The first day, on the shop's own calendar.", examples=["2026-11-26"])
    ],
    last: Annotated[
        Day, Query(alias="to", description=f"The last day; at most {MAX_DAYS} in all.", examples=["2026-11-26"])
    ],
) -> LocalDays:
    check_period(first, last)
    return LocalDays(first, last)


Days = Annotated[LocalDays, Depends(_days)]
