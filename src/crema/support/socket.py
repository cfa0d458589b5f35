"""The support chat over WebSocket. The frames are in `schemas`, what all sockets do alike in `live.socket`."""

from collections.abc import Iterator, Mapping
from typing import Final
from uuid import UUID

from fastapi import APIRouter, WebSocket
from pydantic import BaseModel

from crema.core.errors import CremaError, NotFoundError
from crema.live.domain import Close
from crema.live.hub import Seat
from crema.live.schemas import AuthFrame, ErrorFrame, PingFrame, PongFrame
from crema.live.socket import Connection, Hangup, serve
from crema.support import queries
from crema.support.domain import Side, Status, topic_of
from crema.support.hub import Room, Rooms, State
from crema.support.models import Conversation
from crema.support.schemas import (
    CLIENT_FRAME,
    AckFrame,
    ChatFrame,
    ConversationFrame,
    ConversationOut,
    MessageFrame,
    NewMessageFrame,
    NoteFrame,
    OpenConversation,
    PresenceFrame,
    ReadFrame,
    ReadyFrame,
    ReceiptFrame,
    SendMessage,
    TypingFrame,
    TypingOutFrame,
)
from crema.support.service import talking
from crema.web.asyncapi import Channel

router = APIRouter()

MAX_SEQ: Final = 2**31 - 1
_QUERY: Final = {
    "after": {
        "type": "integer",
        "minimum": 0,
        "maximum": MAX_SEQ,
        "description": "Replay the messages after this `seq`; without it only new ones come.",
    }
}
_RECEIVES: Final = (AuthFrame, MessageFrame, TypingFrame, ReadFrame, PingFrame)
_SENDS: Final = (
    *(ReadyFrame, NewMessageFrame, AckFrame, TypingOutFrame, ReceiptFrame, PresenceFrame, ConversationFrame, NoteFrame),
    *(ErrorFrame, PongFrame),
)
CHANNELS: Final = (
    Channel(
        name="chat",
        address="/chat",
        summary="A customer's own conversation",
        description="Opened at the first visit. A message is stored once it is acknowledged; sent again, once.",
        receives=_RECEIVES,
        sends=_SENDS,
        query=_QUERY,
    ),
    Channel(
        name="chatOf",
        address="/chat/{conversation_id}",
        summary="A conversation, for those who answer",
        description="Needs support:write, and the conversation to be of one's shops or assigned to one.",
        receives=_RECEIVES,
        sends=_SENDS,
        query=_QUERY,
        parameters={"conversation_id": "The conversation's id, from GET /chats."},
    ),
)


@router.websocket("/chat")
async def own_chat(websocket: WebSocket) -> None:
    """Talk as a customer, in one's own conversation."""
    await _follow(websocket, conversation_id=None)


@router.websocket("/chat/{conversation_id}")
async def staff_chat(websocket: WebSocket, conversation_id: UUID) -> None:
    """Talk as staff with support:write; one's own conversation is fine too."""
    await _follow(websocket, conversation_id=conversation_id)


async def _follow(websocket: WebSocket, *, conversation_id: UUID | None) -> None:
    after = _position(websocket.query_params)
    if after is None:
        await websocket.close()
        return

    async def talk(connection: Connection) -> None:
        await Talk(connection, rooms=websocket.app.state.rooms).run(conversation_id=conversation_id, after=after)

    await serve(websocket, talk)


def _position(parameters: Mapping[str, str]) -> int | None:
    """Read `after`: -1 if absent, None if it or anything else there is wrong. A token has no place in a URL."""
    given = parameters.get("after", "-1")
    if set(parameters) - {"after"} or not (given == "-1" or (given.isdecimal() and given.isascii())):
        return None
    return min(int(given[:10]), MAX_SEQ)


class Talk:
    """One socket in a conversation: a reader that acts on frames, beside a pump that tells what is new."""

    def __init__(self, connection: Connection, *, rooms: Rooms) -> None:
        self._connection = connection
        self._rooms = rooms

    async def run(self, *, conversation_id: UUID | None, after: int) -> None:
        """Authenticate, sit down, then talk until either side hangs up."""
        actor = await self._connection.authenticate()
        async with self._connection.hub.transaction() as session:
            try:
                if conversation_id is None:
                    wanted, now = OpenConversation(), self._connection.now()
                    conversation = await talking.open_own(session, actor=actor, wanted=wanted, now=now)
                else:
                    conversation = await queries.get_conversation(session, conversation_id=conversation_id, actor=actor)
            except NotFoundError as error:
                raise Hangup(Close.NOT_FOUND) from error

        seat = Seat(actor, topic_of(conversation.id))
        with self._rooms.entered(conversation, seat) as room:
            async with self._connection.hub.seated(seat):
                ready = ConversationOut.model_validate(conversation)
                await self._connection.send(ReadyFrame(conversation=ready, last_seq=ready.last_seq))
                room.look()  # something may have come before the seat was taken
                position = ready.last_seq if after < 0 else after
                await self._connection.hold(
                    seat,
                    self._read(seat, conversation),
                    self._pump(seat, room, told=State.of(conversation), position=position),
                )

    async def _read(self, seat: Seat, conversation: Conversation) -> None:
        async for frame in self._connection.frames(CLIENT_FRAME):
            try:
                await self._act(seat, conversation, frame)
            except NotFoundError as error:
                raise Hangup(Close.FORBIDDEN) from error
            except CremaError as error:
                await self._connection.refuse(error.code, error.detail)

    async def _act(self, seat: Seat, conversation: Conversation, frame: ChatFrame) -> None:
        """Do what a frame asks, in a transaction of its own; tell the sender after the commit."""
        reply: BaseModel | None = None
        actor, chat, now = seat.actor, conversation.id, self._connection.now()
        async with self._connection.hub.transaction() as session:
            await self._connection.hub.check(session, [seat])
            if seat.closing is not None:
                raise Hangup(seat.closing)
            match frame:
                case MessageFrame():
                    wanted = SendMessage(**frame.model_dump(exclude={"type"}))
                    sent, _ = await talking.send(session, conversation_id=chat, actor=actor, wanted=wanted, now=now)
                    reply = AckFrame(client_id=sent.client_id, seq=sent.seq)
                case ReadFrame():
                    await talking.read(session, conversation_id=chat, actor=actor, seq=frame.seq, now=now)
                case TypingFrame():
                    await talking.type_on(session, conversation_id=chat, actor=actor)
                case PingFrame():
                    reply = PongFrame()
        if reply is not None:
            await self._connection.send(reply)

    async def _pump(self, seat: Seat, room: Room, *, told: State, position: int) -> None:
        while True:
            await seat.woken()
            while position < room.last_seq and seat.closing is None:
                for seq, message in await room.after(position):
                    await self._connection.send(message)
                    position = seq
            if seat.closing is not None:
                raise Hangup(seat.closing)
            while seat.frames:
                await self._connection.send(TypingOutFrame(**seat.frames.popleft()))
            if told is not room.state:
                before, told = told, room.state
                for news in _news(before, told, to=seat.actor.user_id):
                    await self._connection.send(news)


def _news(before: State, after: State, *, to: UUID) -> Iterator[BaseModel]:
    """Tell what changed about a conversation; nobody is told of their own presence."""
    if (before.status, before.assigned_to) != (after.status, after.assigned_to):
        yield ConversationFrame(id=after.id, status=Status(after.status), assigned_to=after.assigned_to)
    for side in Side:
        if before.read_seq[side] != after.read_seq[side]:
            yield ReceiptFrame(side=side, seq=after.read_seq[side])
    if before.note_count != after.note_count and after.side_of(to) == Side.STAFF:
        yield NoteFrame(conversation_id=after.id, count=after.note_count)
    for user_id in sorted((before.present ^ after.present) - {to}):
        yield PresenceFrame(user_id=user_id, side=after.side_of(user_id), online=user_id in after.present)
