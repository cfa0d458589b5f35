"""The clock is read here, once a request; below, `now` is a parameter."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request


async def _now(request: Request) -> datetime:
    now: datetime = request.app.state.clock()
    return now


Now = Annotated[datetime, Depends(_now)]
