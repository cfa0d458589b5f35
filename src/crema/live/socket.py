"""What all WebSockets have in common: Origin, authentication, parsing of frames, rate limit, and closing."""

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
    MAX_RATE_VIOLATIONS,
    NOT_AUTHENTICATED,
    RATE_VIOLATION_SECONDS,
    SERVER_BUSY,
    TOO_FAST,
    Close,
    Closing,
    InvalidPositionError,
    Position,
    TokenBucket,
)
from crema.live.hub import DATABASE_ERRORS, Batch, Subscription
from crema.live.schemas import MAX_NAME, AuthFrame, ErrorFrame
from crema.web.protocol import FRAMES
from crema.web.state import WebState, state_of
from crema.web.validation import sentence_of

log = structlog.get_logger(__name__)

CLOSE_SECONDS: Final = 2
MAX_REASON: Final = 123
"""Bytes of a close frame's reason, RFC 6455."""
SECRET_PARAMETERS: Final = frozenset({"token", "ticket", "access_token", "authorization"})
"""Query parameters that are refused before the socket opens, because addresses are logged."""

FrameT = TypeVar("FrameT", bound=BaseModel)
ModelT = TypeVar("ModelT", bound=BaseModel)


class CloseSocket(Exception):  # noqa: N818 - it ends a socket, it is no error
    """Close the socket with this code and reason."""

    def __init__(self, closing: Closing) -> None:
        super().__init__(closing.reason)
        self.closing = closing


TRANSIENT: Final = frozenset({"typing"})
"""Types of frames that may be dropped without an error: a client may send them at each key."""
TRANSIENT_BURST: Final = 40
TRANSIENT_PER_SECOND: Final = 20


class Connection:
    """An accepted socket."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        now = time.monotonic()
        self._rate = TokenBucket(at=now, size=BURST, per_second=FRAMES_PER_SECOND)
        self._violations = TokenBucket(at=now, size=MAX_RATE_VIOLATIONS - 1, per_second=1 / RATE_VIOLATION_SECONDS)
        self._transient = TokenBucket(at=now, size=TRANSIENT_BURST, per_second=TRANSIENT_PER_SECOND)
        self._accepts_encoded_frames = FRAMES in websocket.scope.get("extensions", {})
        self._subscription: Subscription | None = None
        self.hub = state_of(websocket.app, LiveState).hub

    def query(self, model: type[ModelT]) -> ModelT:
        """Return the query parameters. If they are invalid, close the socket with the reason."""
        try:
            return model.model_validate(dict(self._websocket.query_params))
        except ValidationError as error:
            raise CloseSocket(_invalid_query(error)) from error

    @staticmethod
    def position(text: str | None) -> Position | None:
        """Return the position of a feed, or None if none is given. An invalid one closes the socket."""
        try:
            return Position.parse(text) if text else None
        except InvalidPositionError as error:
            raise CloseSocket(Closing(Close.POLICY, f"{error.code}: {error.detail}")) from error

    async def authenticate(self) -> Actor:
        """Return the actor of the Authorization header or, within AUTH_SECONDS, of an `auth` frame."""
        scheme, _, token = self._websocket.headers.get("authorization", "").partition(" ")
        ticket = None
        if scheme.lower() != "bearer":
            frame = await self._first_frame()
            token, ticket = frame.token or "", frame.ticket
        async with self.hub.transaction() as session:
            actor = await self._actor_of(session, token=token, ticket=ticket)
        if actor is None:
            raise CloseSocket(NOT_AUTHENTICATED)
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
            raise CloseSocket(NOT_AUTHENTICATED) from error

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
        """Yield the client's frames. Frames that come too fast or are malformed are refused with an `error` frame."""
        while True:
            text = await self._receive()
            if not self._rate.take(time.monotonic()):
                await self._refuse_too_fast(text)
                continue
            try:
                frame = adapter.validate_json(text)
            except ValidationError as error:
                await self.send(
                    ErrorFrame(code="validation_error", detail=_describe_errors(error), **_ids_of_frame(text))
                )
                continue
            yield frame

    async def _refuse_too_fast(self, text: str) -> None:
        """Refuse a frame that comes too fast. Transient frames are dropped without an error."""
        if _parse_object(text).get("type") in TRANSIENT and self._transient.take(time.monotonic()):
            return
        detail = f"Send at most {FRAMES_PER_SECOND} frames a second. Send this one again after a second."
        await self.send(ErrorFrame(code="rate_limited", detail=detail, **_ids_of_frame(text)))
        if not self._violations.take(time.monotonic()):
            raise CloseSocket(TOO_FAST)

    async def refuse(self, error: CremaError, *, frame: BaseModel | None = None) -> None:
        """Send an `error` frame that names the refused frame."""
        about = frame.model_dump(mode="json", include={"client_id", "conversation_id"}) if frame else {}
        await self.send(ErrorFrame(code=error.code, detail=error.detail, **about))

    async def send(self, frame: BaseModel) -> None:
        """Send a frame to this client only."""
        await self._send({"type": "websocket.send", "text": frame.model_dump_json()})

    async def send_updates(self, subscription: Subscription) -> None:
        """Send what the feed pushes until the subscription closes."""
        async for batches in subscription.updates():
            for batch in batches:
                await self._send_batch(batch)
        raise CloseSocket(await subscription.closed())

    async def _send_batch(self, batch: Batch) -> None:
        if self._accepts_encoded_frames:
            for write in batch.writes:
                await self._send({"type": "websocket.send", "frames": write})
            return
        for frame in batch.frames:
            await self._send({"type": "websocket.send", "text": frame.text})

    async def _send(self, message: Message) -> None:
        if self._subscription is None:
            await self._websocket.send(message)
            return
        self._subscription.busy_since = time.monotonic()  # a timeout of asyncio would cost as much as the sending
        await self._websocket.send(message)
        self._subscription.busy_since = None

    async def run(self, subscription: Subscription, reading: Coroutine[Any, Any, None]) -> None:
        """Send updates and run `reading`, until either ends or the subscription closes.

        The subscription may close while a frame is being sent to a client that reads nothing.
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
        return message.get("text") or ""  # a binary frame becomes an empty one, which no schema accepts


def _describe_errors(error: ValidationError) -> str:
    return "; ".join(
        ": ".join([*(str(part) for part in each["loc"][-1:]), sentence_of(each)]) for each in error.errors()[:3]
    )


def _invalid_query(error: ValidationError) -> Closing:
    return Closing(Close.POLICY, f"validation_error: {_describe_errors(error)}")


def _parse_object(text: str) -> dict[str, Any]:
    """Return a frame that may be malformed as a dict; empty if it is no JSON object."""
    try:
        frame = from_json(text)
    except ValueError:
        return {}
    return frame if isinstance(frame, dict) else {}


def _ids_of_frame(text: str) -> dict[str, str]:
    """Return the message and conversation that a frame names, also if it is malformed."""
    frame = _parse_object(text)
    named = {name: frame.get(name) for name in ("client_id", "conversation_id")}
    return {name: value for name, value in named.items() if isinstance(value, str) and len(value) <= MAX_NAME}


async def serve(websocket: WebSocket, handle: Callable[[Connection], Awaitable[None]]) -> None:
    """Accept a socket and run `handle` until either side closes.

    Pages of other origins, and secrets in the query, are refused with 403.
    """
    if not _has_allowed_origin(websocket) or SECRET_PARAMETERS & {name.lower() for name in websocket.query_params}:
        await websocket.close()  # before accept: the response of the handshake is 403
        return
    await websocket.accept()
    connection = Connection(websocket)
    with suppress(
        WebSocketDisconnect, RuntimeError
    ):  # RuntimeError: starlette raises it when the client is disconnected
        try:
            await handle(connection)
        except CloseSocket as closed:
            if closed.closing == SERVER_BUSY:
                log.warning("socket_interrupted", error="feed")
            await _close(websocket, closed.closing)
        except DATABASE_ERRORS as error:
            log.warning("socket_interrupted", error=type(error).__name__)
            await _close(websocket, SERVER_BUSY)


async def _close(websocket: WebSocket, closing: Closing) -> None:
    reason = closing.reason.encode()[:MAX_REASON].decode(errors="ignore")
    with suppress(TimeoutError):  # a client that reads nothing gets no close frame
        async with asyncio.timeout(CLOSE_SECONDS):
            await websocket.close(closing.code, reason)


def _has_allowed_origin(websocket: WebSocket) -> bool:
    """Return whether the Origin is one of ours, or is missing: browsers always send it."""
    origins = state_of(websocket.app, WebState).origins
    return "origin" not in websocket.headers or origins.include(websocket)


async def run_until_first(*activities: Coroutine[Any, Any, None]) -> None:
    """Run coroutines concurrently; when the first ends, cancel the others and raise what it raised."""
    tasks = {asyncio.create_task(activity) for activity in activities}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
