"""What every WebSocket of ours does alike: Origin, authentication, frames by schema, the rate, and hanging up."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import structlog
from fastapi import WebSocket, WebSocketDisconnect
from pydantic import BaseModel, TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries as accounts
from crema.accounts.domain import Actor
from crema.accounts.service import logins
from crema.core.errors import UnauthenticatedError
from crema.live import service
from crema.live.domain import AUTH_SECONDS, FRAMES_PER_SECOND, STRIKES, Bucket, Close
from crema.live.hub import GONE, Hub, Seat
from crema.live.schemas import AuthFrame, ErrorFrame
from crema.live.service import TooManySocketsError
from crema.web.browser import Origins

log = structlog.get_logger(__name__)

CLOSE_SECONDS: Final = 2

FrameT = TypeVar("FrameT", bound=BaseModel)


class Hangup(Exception):  # noqa: N818 - it ends a socket, it is no error
    """Close the socket with this code."""

    def __init__(self, code: Close) -> None:
        super().__init__(code.name)
        self.code = code


class Connection:
    """An accepted socket."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._bucket = Bucket(at=time.monotonic())
        self._strikes = 0
        self._seat: Seat | None = None
        self.hub: Hub = websocket.app.state.hub

    def now(self) -> datetime:
        """Read the application's clock."""
        now: datetime = self._websocket.app.state.clock()
        return now

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
            raise Hangup(Close.UNAUTHENTICATED)
        if not actor.is_verified:
            raise Hangup(Close.FORBIDDEN)
        return actor

    async def _first_frame(self) -> AuthFrame:
        try:
            async with asyncio.timeout(AUTH_SECONDS):
                return AuthFrame.model_validate_json(await self._receive())
        except TimeoutError as error:
            raise Hangup(Close.AUTH_TIMEOUT) from error
        except ValidationError as error:
            raise Hangup(Close.UNAUTHENTICATED) from error

    async def _actor_of(self, session: AsyncSession, *, token: str, ticket: str | None) -> Actor | None:
        login: tuple[UUID, UUID] | None
        pair = ""
        if ticket is not None:
            login = await service.redeem_ticket(session, ticket=ticket, now=self.now())
        else:
            try:
                user_id, session_id, pair, _ = self._websocket.app.state.access_tokens.read(token, now=self.now())
                login = user_id, session_id
            except UnauthenticatedError:
                login = None
        if login is None:
            return None
        actor = await accounts.find_actor(session, user_id=login[0], session_id=login[1], pair=pair, now=self.now())
        if actor is not None and actor.is_first_use:
            await logins.note_use(session, session_id=actor.session_id, pair=pair)
        return actor

    async def frames(self, adapter: TypeAdapter[FrameT]) -> AsyncIterator[FrameT]:
        """Give the client's frames one by one, answering those that come too fast or are malformed."""
        while True:
            text = await self._receive()
            if not self._bucket.take(time.monotonic()):
                await self._strike()
                continue
            try:
                frame = adapter.validate_json(text)
            except ValidationError as error:
                await self.refuse("validation_error", "; ".join(_complaint(each) for each in error.errors()[:3]))
                continue
            yield frame

    async def _strike(self) -> None:
        self._strikes += 1
        await self.refuse("rate_limited", f"At most {FRAMES_PER_SECOND} frames a second.")
        if self._strikes >= STRIKES:
            raise Hangup(Close.POLICY)

    async def refuse(self, code: str, detail: str) -> None:
        """Answer with an `error` frame."""
        await self.send(ErrorFrame(code=code, detail=detail))

    async def send(self, frame: BaseModel | str) -> None:
        """Send a frame, or the JSON of one."""
        text = frame if isinstance(frame, str) else frame.model_dump_json()
        if self._seat is None:
            await self._websocket.send_text(text)
            return
        self._seat.busy_since = time.monotonic()  # a timeout of asyncio's would cost as much as the sending
        await self._websocket.send_text(text)
        self._seat.busy_since = None

    async def hold(self, seat: Seat, *activities: Coroutine[Any, Any, None]) -> None:
        """Do things side by side until the first ends, or the client has read nothing for too long."""
        self._seat = seat
        await until_one_ends(self._hung(seat), *activities)

    @staticmethod
    async def _hung(seat: Seat) -> None:
        await seat.hung.wait()
        raise Hangup(Close.TRY_LATER)

    async def _receive(self) -> str:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        return message.get("text") or ""  # a binary frame reads as an empty one, which no schema takes


def _complaint(error: Any) -> str:
    return ": ".join([*(str(part) for part in error["loc"][-1:]), error["msg"]])


async def serve(websocket: WebSocket, talk: Callable[[Connection], Awaitable[None]]) -> None:
    """Refuse pages of other hosts with 403, accept, then talk until either side hangs up."""
    if not _is_ours(websocket):
        await websocket.close()  # before accept: the handshake is answered with 403
        return
    await websocket.accept()
    connection = Connection(websocket)
    with suppress(WebSocketDisconnect, RuntimeError):  # RuntimeError: starlette's word for sending to who is gone
        try:
            await talk(connection)
        except Hangup as hangup:
            await _close(websocket, hangup.code)
        except TooManySocketsError as error:
            await connection.refuse(error.code, error.detail)
            await _close(websocket, Close.POLICY)
        except GONE as error:
            log.warning("socket_interrupted", error=type(error).__name__)
            await _close(websocket, Close.TRY_LATER)


async def _close(websocket: WebSocket, code: Close) -> None:
    with suppress(TimeoutError):  # a peer that reads nothing can't be told
        async with asyncio.timeout(CLOSE_SECONDS):
            await websocket.close(code)


def _is_ours(websocket: WebSocket) -> bool:
    """Whether a page of ours asks, or no page at all: browsers always send Origin."""
    origins: Origins = websocket.app.state.origins
    return "origin" not in websocket.headers or origins.include(websocket)


async def until_one_ends(*activities: Coroutine[Any, Any, None]) -> None:
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
