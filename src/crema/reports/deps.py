"""Dependencies of the reports' routes."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from fastapi import Depends, Query

from crema.reports.domain import MAX_DAYS, check_period
from crema.reports.schemas import Day


@dataclass(frozen=True, slots=True)
class LocalPeriod:
    """A period of whole days in the shop's zone, including both ends."""

    first: date
    last: date


async def _period(
    first: Annotated[
        Day, Query(alias="from", description="The first day, in the zone of each shop.", examples=["2026-11-26"])
    ],
    last: Annotated[
        Day,
        Query(
            alias="to", description=f"The last day. A report covers at most {MAX_DAYS} days.", examples=["2026-11-26"]
        ),
    ],
) -> LocalPeriod:
    check_period(first, last)
    return LocalPeriod(first, last)


Period = Annotated[LocalPeriod, Depends(_period)]
