"""Let dependencies give the answer to a request, or change it before the transaction commits."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response

ResponseHook = Callable[[Request, Response], Awaitable[None]]


class AnsweredError(Exception):
    """Raised by a dependency that has the answer already: the rest of the request is skipped."""

    def __init__(self, response: Response) -> None:
        super().__init__(response)
        self.response = response


def on_response(request: Request, call: ResponseHook) -> None:
    """Call the hook with the answer, unless it is an error, before the request's transaction is committed."""
    request.scope["state"].setdefault("on_response", []).append(call)


async def run_hooks(request: Request, response: Response) -> None:
    """Call the hooks that `on_response` was given."""
    for call in request.scope["state"].get("on_response", ()):
        await call(request, response)


def keep_json(request: Request, body: Any) -> None:
    """Remember the JSON of the request, for `sent_json`."""
    request.scope["state"]["json"] = body


async def sent_json(request: Request) -> Any:
    """Return the JSON of the request, or another body as text; None without a body."""
    state = request.scope["state"]
    if "json" in state:
        return state["json"]
    body = await request.body()
    try:
        return json.loads(body) if body else None
    except ValueError:  # the route takes no body, and nothing has checked it
        return body.decode("latin-1")
