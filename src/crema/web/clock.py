"""The time of a request, read once; services get it as their parameter `now`."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request

from crema.web.state import WebState, state_of


async def _now(request: Request) -> datetime:
    return state_of(request.app, WebState).clock()


Now = Annotated[datetime, Depends(_now)]
