"""The support chat over WebSocket. The frames are in `schemas`, the close codes here."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from crema.accounts import queries as accounts
from crema.accounts.domain import Actor
from crema.core.errors import CremaError, NotFoundError, UnauthenticatedError
from crema.db.session import Sessions
from crema.support import queries, service
from crema.support.hub import Hub, Seat
from crema.support.schemas import (
    CLIENT_FRAME,
    AuthFrame,
    ConversationOut,
    MessageFrame,
    MessageOut,
    OpenConversation,
    PingFrame,
    ReadFrame,
    SendMessage,
    TypingFrame,
)

log = structlog.get_logger(__name__)
router = APIRouter()

AUTH_SECONDS: Final = 5
FRAMES_PER_SECOND: Final = 5
BURST: Final = 10
STRIKES: Final = 3
REPLAYED: Final = 100
"""Messages read from the database at a time."""
SEND_SECONDS: Final = 20
"""A reader that takes nothing for so long is cut off."""


class Close(IntEnum):
    """Why the server hangs up. uvicorn adds 1009 for a frame over 16 KiB and 1012 for a restart."""

    POLICY = 1008
    TRY_LATER = 1013
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    NOT_FOUND = 4404
    AUTH_TIMEOUT = 4408


class Hangup(Exception):  # noqa: N818 - it ends a socket, it is no error
    """Close the socket with this code."""

    def __init__(self, code: Close) -> None:
        super().__init__(code.name)
        self.code = code


@dataclass
class Bucket:
    """A token bucket: BURST frames at once, FRAMES_PER_SECOND on average."""

    left: float = BURST
    at: float = field(default_factory=time.monotonic)

    def take(self) -> bool:
        """Take one; False when there is none."""
        now = time.monotonic()
        self.left = min(BURST, self.left + (now - self.at) * FRAMES_PER_SECOND)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@router.websocket("/chat")
async def own_chat(websocket: WebSocket) -> None:
    """Talk as a customer, in one's own conversation."""
    await _serve(websocket, conversation_id=None)


@router.websocket("/chat/{conversation_id}")
async def staff_chat(websocket: WebSocket, conversation_id: UUID) -> None:
    """Talk as staff with support:write; one's own conversation is fine too."""
    await _serve(websocket, conversation_id=conversation_id)


async def _serve(websocket: WebSocket, *, conversation_id: UUID | None) -> None:
    after = _position(websocket.query_params)
    if after is None or not _is_ours(websocket.headers):
        await websocket.close()  # before accept: the handshake is answered with 403
        return
    await websocket.accept()
    talk = Talk(websocket)
    with suppress(WebSocketDisconnect, RuntimeError):  # RuntimeError: starlette's word for sending to who is gone
        try:
            await talk.run(conversation_id=conversation_id, after=after)
        except Hangup as hangup:
            await websocket.close(hangup.code)
        except (OSError, TimeoutError, SQLAlchemyError) as error:
            log.warning("chat_interrupted", error=type(error).__name__)
            await websocket.close(Close.TRY_LATER)


def _position(parameters: Mapping[str, str]) -> int | None:
    """Read `after`: -1 if absent, None if it or anything else there is wrong. A token has no place in a URL."""
    given = parameters.get("after", "-1")
    if set(parameters) - {"after"} or not (given == "-1" or (given.isdecimal() and given.isascii())):
        return None
    return min(int(given[:10]), 2**31 - 1)


def _is_ours(headers: Mapping[str, str]) -> bool:
    """Whether a page of this very host asks, or no page at all: browsers always send Origin."""
    origin = headers.get("origin")
    return origin is None or (urlsplit(origin).netloc != "" and urlsplit(origin).netloc == headers.get("host"))


class Talk:
    """One connected socket: a reader that acts on frames, beside a pump that delivers what is new."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._sessions: Sessions = websocket.app.state.sessions
        self._hub: Hub = websocket.app.state.hub
        self._bucket = Bucket()
        self._strikes = 0

    async def run(self, *, conversation_id: UUID | None, after: int) -> None:
        """Authenticate, join, then talk until either side hangs up."""
        actor = await self._authenticate()
        async with self._sessions.begin() as session:
            try:
                if conversation_id is None:
                    wanted = OpenConversation()
                    conversation = await service.open_own(session, actor=actor, wanted=wanted, now=self._now())
                else:
                    conversation = await queries.get_conversation(session, conversation_id=conversation_id, actor=actor)
            except NotFoundError as error:
                raise Hangup(Close.NOT_FOUND) from error
            ready = ConversationOut.model_validate(conversation)

        seat = Seat(actor, ready.id)
        if not self._hub.join(seat):
            await self._error("too_many_sockets", "You have too many connections open.")
            raise Hangup(Close.POLICY)
        try:
            await self._send(
                {"type": "ready", "conversation": ready.model_dump(mode="json"), "last_seq": ready.last_seq}
            )
            seat.wake.set()  # something may have come before the seat was taken
            await self._both(seat, position=ready.last_seq if after < 0 else after)
        finally:
            self._hub.leave(seat)

    async def _both(self, seat: Seat, *, position: int) -> None:
        tasks = {asyncio.create_task(self._read(seat)), asyncio.create_task(self._pump(seat, position))}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _authenticate(self) -> Actor:
        scheme, _, token = self._websocket.headers.get("authorization", "").partition(" ")
        ticket = None
        if scheme.lower() != "bearer":
            try:
                async with asyncio.timeout(AUTH_SECONDS):
                    frame = AuthFrame.model_validate_json(await self._receive())
            except TimeoutError as error:
                raise Hangup(Close.AUTH_TIMEOUT) from error
            except ValidationError as error:
                raise Hangup(Close.UNAUTHENTICATED) from error
            token, ticket = frame.token or "", frame.ticket
        async with self._sessions.begin() as session:
            try:
                if ticket is not None:
                    login = await service.redeem_ticket(session, ticket=ticket, now=self._now())
                else:
                    login = self._websocket.app.state.access_tokens.read(token, now=self._now())
            except UnauthenticatedError as error:
                raise Hangup(Close.UNAUTHENTICATED) from error
            actor = login and await accounts.find_actor(session, user_id=login[0], session_id=login[1], now=self._now())
        if not actor:
            raise Hangup(Close.UNAUTHENTICATED)
        if not actor.is_verified:
            raise Hangup(Close.FORBIDDEN)
        return actor

    async def _read(self, seat: Seat) -> None:
        while True:
            text = await self._receive()
            if not self._bucket.take():
                await self._strike()
                continue
            try:
                frame = CLIENT_FRAME.validate_json(text)
            except ValidationError as error:
                await self._error("validation_error", "; ".join(each["msg"] for each in error.errors()[:3]))
                continue
            try:
                await self._act(seat, frame)
            except CremaError as error:
                await self._error(error.code, error.detail)

    async def _strike(self) -> None:
        self._strikes += 1
        await self._error("rate_limited", f"At most {FRAMES_PER_SECOND} frames a second.")
        if self._strikes >= STRIKES:
            raise Hangup(Close.POLICY)

    async def _act(self, seat: Seat, frame: MessageFrame | TypingFrame | ReadFrame | PingFrame) -> None:
        """Do what a frame asks, in a transaction of its own; tell the sender after the commit."""
        reply: dict[str, Any] | None = None
        chat, now = seat.conversation_id, self._now()
        async with self._sessions.begin() as session:
            actor = await self._admit(session, seat)
            match frame:
                case MessageFrame():
                    wanted = SendMessage(text=frame.text, client_id=frame.client_id)
                    sent, _ = await service.send(session, conversation_id=chat, actor=actor, wanted=wanted, now=now)
                    reply = {"type": "ack", "client_id": sent.client_id, "seq": sent.seq}
                case ReadFrame():
                    await service.read(session, conversation_id=chat, actor=actor, seq=frame.seq, now=now)
                case TypingFrame():
                    await service.type_on(session, conversation_id=chat, actor=actor)
                case PingFrame():
                    reply = {"type": "pong"}
        if reply is not None:
            await self._send(reply)

    async def _admit(self, session: Any, seat: Seat) -> Actor:
        """Check afresh that the login counts and the conversation may be seen."""
        old = seat.actor
        actor = await accounts.find_actor(session, user_id=old.user_id, session_id=old.session_id, now=self._now())
        if actor is None:
            raise Hangup(Close.UNAUTHENTICATED)
        try:
            await queries.get_conversation(session, conversation_id=seat.conversation_id, actor=actor)
        except NotFoundError as error:
            raise Hangup(Close.FORBIDDEN) from error
        seat.actor = actor
        return actor

    async def _pump(self, seat: Seat, position: int) -> None:
        while True:
            await seat.wake.wait()
            seat.wake.clear()
            async with self._sessions() as session:
                await self._admit(session, seat)
                found = await queries.list_after(
                    session, conversation_id=seat.conversation_id, seq=position, limit=REPLAYED
                )
                messages = [MessageOut.model_validate(message) for message in found]
            for message in messages:
                await self._send({"type": "message", **message.model_dump(mode="json")})
                position = message.seq
            while seat.frames:
                await self._send(seat.frames.popleft())
            if len(messages) == REPLAYED:
                seat.wake.set()

    async def _receive(self) -> str:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        return message.get("text") or ""  # a binary frame reads as an empty one, which no schema takes

    async def _send(self, frame: Mapping[str, Any]) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await self._websocket.send_json(frame)

    async def _error(self, code: str, detail: str) -> None:
        await self._send({"type": "error", "code": code, "detail": detail})

    def _now(self) -> Any:
        return self._websocket.app.state.clock()
