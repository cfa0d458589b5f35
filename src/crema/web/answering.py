"""What dependencies may do with a request's answer: give it, or complete it before the transaction commits."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response

OnAnswer = Callable[[Request, Response], Awaitable[None]]


class AnsweredError(Exception):
    """Raised by a dependency that has the answer already: the rest of the request isn't run."""

    def __init__(self, response: Response) -> None:
        super().__init__(response)
        self.response = response


def on_answer(request: Request, call: OnAnswer) -> None:
    """Have this called with the answer, if it isn't a refusal, before the request's transaction is committed."""
    request.scope["state"].setdefault("on_answer", []).append(call)


async def complete(request: Request, response: Response) -> None:
    """Call what `on_answer` has been given."""
    for call in request.scope["state"].get("on_answer", ()):
        await call(request, response)


def keep_json(request: Request, body: Any) -> None:
    """Keep the JSON that was sent, for `sent_json`."""
    request.scope["state"]["json"] = body


async def sent_json(request: Request) -> Any:
    """Return the JSON that was sent, or whatever else as text; None if there was no body."""
    state = request.scope["state"]
    if "json" in state:
        return state["json"]
    body = await request.body()
    try:
        return json.loads(body) if body else None
    except ValueError:  # where no body is taken nobody has looked at it
        return body.decode("latin-1")
