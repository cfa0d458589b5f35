"""The clock is read here, once a request; below, `now` is a parameter."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request

from crema.web.state import WebState, state_of


async def _now(request: Request) -> datetime:
    return state_of(request.app, WebState).clock()


Now = Annotated[datetime, Depends(_now)]
