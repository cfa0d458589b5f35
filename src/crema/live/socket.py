"""What every WebSocket of ours does alike: Origin, authentication, frames by schema, the rate, and closing."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar
from uuid import UUID

import structlog
from fastapi import WebSocket, WebSocketDisconnect
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.types import Message

from crema.accounts import queries as accounts
from crema.accounts.deps import AccountsState
from crema.accounts.domain import Actor
from crema.accounts.service import logins
from crema.core.errors import CremaError, UnauthenticatedError
from crema.live import service
from crema.live.deps import LiveState
from crema.live.domain import (
    AUTH_SECONDS,
    AUTH_TIMEOUT,
    BURST,
    FRAMES_PER_SECOND,
    LOGIN_OVER,
    SERVER_BUSY,
    STRIKE_SECONDS,
    STRIKES,
    TOO_FAST,
    Bucket,
    Close,
    Closing,
    InvalidPositionError,
    Position,
)
from crema.live.hub import GONE, Batch, Subscription
from crema.live.schemas import MAX_NAME, AuthFrame, ErrorFrame
from crema.web.protocol import FRAMES
from crema.web.state import WebState, state_of
from crema.web.validation import sentence_of

log = structlog.get_logger(__name__)

CLOSE_SECONDS: Final = 2
MAX_REASON: Final = 123
"""Bytes of a close frame's reason, RFC 6455."""
SECRETS: Final = frozenset({"token", "ticket", "access_token", "authorization"})
"""Query parameters that are refused before the socket opens: addresses end up in logs."""

FrameT = TypeVar("FrameT", bound=BaseModel)
ModelT = TypeVar("ModelT", bound=BaseModel)


class CloseSocket(Exception):  # noqa: N818 - it ends a socket, it is no error
    """Close the socket with this code and reason."""

    def __init__(self, closing: Closing) -> None:
        super().__init__(closing.reason)
        self.closing = closing


PASSING: Final = frozenset({"typing"})
"""Frames of which nobody misses one: a client may send them at each key."""
PASSING_BURST: Final = 40
PASSING_PER_SECOND: Final = 20


class Connection:
    """An accepted socket."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        now = time.monotonic()
        self._rate = Bucket(at=now, size=BURST, per_second=FRAMES_PER_SECOND)
        self._strikes = Bucket(at=now, size=STRIKES - 1, per_second=1 / STRIKE_SECONDS)
        self._passing = Bucket(at=now, size=PASSING_BURST, per_second=PASSING_PER_SECOND)
        self._takes_wire = FRAMES in websocket.scope.get("extensions", {})
        self._subscription: Subscription | None = None
        self.hub = state_of(websocket.app, LiveState).hub

    def query(self, model: type[ModelT]) -> ModelT:
        """Read the parameters of the address. What is wrong with them is the reason of the close."""
        try:
            return model.model_validate(dict(self._websocket.query_params))
        except ValidationError as error:
            raise CloseSocket(_invalid(error)) from error

    @staticmethod
    def position(text: str | None) -> Position | None:
        """Read a feed's position, if one is given."""
        try:
            return Position.parse(text) if text else None
        except InvalidPositionError as error:
            raise CloseSocket(Closing(Close.POLICY, f"{error.code}: {error.detail}")) from error

    async def authenticate(self) -> Actor:
        """Take the Authorization header or, within AUTH_SECONDS, an `auth` frame, and load who that is."""
        scheme, _, token = self._websocket.headers.get("authorization", "").partition(" ")
        ticket = None
        if scheme.lower() != "bearer":
            frame = await self._first_frame()
            token, ticket = frame.token or "", frame.ticket
        async with self.hub.transaction() as session:
            actor = await self._actor_of(session, token=token, ticket=ticket)
        if actor is None:
            raise CloseSocket(LOGIN_OVER)
        if not actor.is_verified:
            raise CloseSocket(Closing(Close.FORBIDDEN, "email_not_verified"))
        return actor

    async def _first_frame(self) -> AuthFrame:
        try:
            async with asyncio.timeout(AUTH_SECONDS):
                return AuthFrame.model_validate_json(await self._receive())
        except TimeoutError as error:
            raise CloseSocket(AUTH_TIMEOUT) from error
        except ValidationError as error:
            raise CloseSocket(LOGIN_OVER) from error

    async def _actor_of(self, session: AsyncSession, *, token: str, ticket: str | None) -> Actor | None:
        login: tuple[UUID, UUID] | None
        pair = ""
        if ticket is not None:
            login = await service.redeem_ticket(session, ticket=ticket, now=self.hub.now())
        else:
            try:
                access_tokens = state_of(self._websocket.app, AccountsState).logins.access_tokens
                claims = access_tokens.read(token, now=self.hub.now())
                login, pair = (claims.user_id, claims.session_id), claims.pair
            except UnauthenticatedError:
                login = None
        if login is None:
            return None
        actor = await accounts.find_actor(session, user_id=login[0], session_id=login[1], pair=pair, now=self.hub.now())
        if actor is not None and actor.is_first_use:
            await logins.mark_tokens_used(session, session_id=actor.session_id, pair=pair)
        return actor

    async def frames(self, adapter: TypeAdapter[FrameT]) -> AsyncIterator[FrameT]:
        """Give the client's frames one by one, answering those that come too fast or are malformed."""
        while True:
            text = await self._receive()
            if not self._rate.take(time.monotonic()):
                await self._strike(text)
                continue
            try:
                frame = adapter.validate_json(text)
            except ValidationError as error:
                await self.send(ErrorFrame(code="validation_error", detail=_complaints(error), **_names(text)))
                continue
            yield frame

    async def _strike(self, text: str) -> None:
        """Refuse a frame that comes too fast. What passes anyway, such as typing, is dropped without a word."""
        if _read(text).get("type") in PASSING and self._passing.take(time.monotonic()):
            return
        detail = f"At most {FRAMES_PER_SECOND} frames a second. Send this one again after a second."
        await self.send(ErrorFrame(code="rate_limited", detail=detail, **_names(text)))
        if not self._strikes.take(time.monotonic()):
            raise CloseSocket(TOO_FAST)

    async def refuse(self, error: CremaError, *, frame: BaseModel | None = None) -> None:
        """Answer with an `error` frame, which names the frame it is about."""
        about = frame.model_dump(mode="json", include={"client_id", "conversation_id"}) if frame else {}
        await self.send(ErrorFrame(code=error.code, detail=error.detail, **about))

    async def send(self, frame: BaseModel) -> None:
        """Send a frame that is this client's alone."""
        await self._send({"type": "websocket.send", "text": frame.model_dump_json()})

    async def send_updates(self, subscription: Subscription) -> None:
        """Send what a feed pushes, until its subscription is closing."""
        async for batches in subscription.updates():
            for batch in batches:
                await self._send_batch(batch)
        raise CloseSocket(await subscription.closed())

    async def _send_batch(self, batch: Batch) -> None:
        if self._takes_wire:
            for write in batch.writes:
                await self._send({"type": "websocket.send", "frames": write})
            return
        for frame in batch.frames:
            await self._send({"type": "websocket.send", "text": frame.text})

    async def _send(self, message: Message) -> None:
        if self._subscription is None:
            await self._websocket.send(message)
            return
        self._subscription.busy_since = time.monotonic()  # a timeout of asyncio's would cost as much as the sending
        await self._websocket.send(message)
        self._subscription.busy_since = None

    async def hold(self, subscription: Subscription, reading: Coroutine[Any, Any, None]) -> None:
        """Send updates and read what the client says, until either ends or the subscription closes.

        It may close in the middle of sending to a client that takes nothing.
        """
        self._subscription = subscription
        await run_until_first(self._closed(subscription), reading, self.send_updates(subscription))

    @staticmethod
    async def _closed(subscription: Subscription) -> None:
        raise CloseSocket(await subscription.closed())

    async def _receive(self) -> str:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        return message.get("text") or ""  # a binary frame reads as an empty one, which no schema takes


def _complaints(error: ValidationError) -> str:
    return "; ".join(
        ": ".join([*(str(part) for part in each["loc"][-1:]), sentence_of(each)]) for each in error.errors()[:3]
    )


def _invalid(error: ValidationError) -> Closing:
    return Closing(Close.POLICY, f"validation_error: {_complaints(error)}")


def _read(text: str) -> dict[str, Any]:
    """Read a frame that may be malformed; empty if it is no object."""
    try:
        frame = from_json(text)
    except ValueError:
        return {}
    return frame if isinstance(frame, dict) else {}


def _names(text: str) -> dict[str, str]:
    """Read which message and conversation a frame is about, though the frame itself may be malformed."""
    frame = _read(text)
    named = {name: frame.get(name) for name in ("client_id", "conversation_id")}
    return {name: value for name, value in named.items() if isinstance(value, str) and len(value) <= MAX_NAME}


async def serve(websocket: WebSocket, converse: Callable[[Connection], Awaitable[None]]) -> None:
    """Refuse pages of other hosts, and secrets in the address, with 403; accept; converse until either side closes."""
    if not _is_ours(websocket) or SECRETS & {name.lower() for name in websocket.query_params}:
        await websocket.close()  # before accept: the handshake is answered with 403
        return
    await websocket.accept()
    connection = Connection(websocket)
    with suppress(WebSocketDisconnect, RuntimeError):  # RuntimeError: starlette's word for sending to who is gone
        try:
            await converse(connection)
        except CloseSocket as closed:
            if closed.closing == SERVER_BUSY:
                log.warning("socket_interrupted", error="feed")
            await _close(websocket, closed.closing)
        except GONE as error:
            log.warning("socket_interrupted", error=type(error).__name__)
            await _close(websocket, SERVER_BUSY)


async def _close(websocket: WebSocket, closing: Closing) -> None:
    reason = closing.reason.encode()[:MAX_REASON].decode(errors="ignore")
    with suppress(TimeoutError):  # a peer that reads nothing can't be told
        async with asyncio.timeout(CLOSE_SECONDS):
            await websocket.close(closing.code, reason)


def _is_ours(websocket: WebSocket) -> bool:
    """Whether a page of ours asks, or no page at all: browsers always send Origin."""
    origins = state_of(websocket.app, WebState).origins
    return "origin" not in websocket.headers or origins.include(websocket)


async def run_until_first(*activities: Coroutine[Any, Any, None]) -> None:
    """Run activities side by side; when the first ends, end the others and raise what it raised."""
    tasks = {asyncio.create_task(activity) for activity in activities}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
