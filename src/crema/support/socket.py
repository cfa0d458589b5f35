"""The support chat over WebSocket. The frames are in `schemas`, what all sockets do alike in `live.socket`."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final
from uuid import UUID

from fastapi import APIRouter, WebSocket
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import CremaError, NotFoundError
from crema.live.domain import NO_SUCH, NOT_ALLOWED, InvalidPositionError
from crema.live.hub import Seat
from crema.live.schemas import AuthFrame, ErrorFrame, PingFrame, PongFrame
from crema.live.socket import Connection, Hangup, serve
from crema.support import queries
from crema.support.domain import SUPPORT, ConversationStatus, Side, topic_of
from crema.support.hub import QueueFeed, Room, Rooms, State
from crema.support.models import Conversation
from crema.support.schemas import (
    CLIENT_FRAME,
    QUEUE_FRAME,
    AckFrame,
    AnswerFrame,
    AnswerReadFrame,
    AnswerTypingFrame,
    ChatFrame,
    ConversationFrame,
    ConversationOut,
    FollowChat,
    FollowChats,
    MessageFrame,
    NewMessageFrame,
    NoteFrame,
    OpenConversation,
    PresenceFrame,
    QueueAckFrame,
    QueuedConversationFrame,
    QueueFrame,
    QueueMessageFrame,
    QueuePresenceFrame,
    QueueSnapshotFrame,
    QueueTypingFrame,
    ReadFrame,
    ReadyFrame,
    ReceiptFrame,
    RemovedFrame,
    SendMessage,
    TypingFrame,
    TypingOutFrame,
)
from crema.support.service import talking
from crema.web.asyncapi import Channel

router = APIRouter()

_QUERY: Final = FollowChat.model_json_schema()["properties"]
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
    Channel(
        name="chats",
        address="/chats/live",
        summary="The whole queue, for those who answer",
        description="Needs support:write. Every conversation of one's shops or assigned to one, over one socket. It"
        " makes nobody present in a conversation.",
        receives=(AuthFrame, AnswerFrame, AnswerTypingFrame, AnswerReadFrame, PingFrame),
        sends=(
            *(QueueSnapshotFrame, QueuedConversationFrame, RemovedFrame, QueueMessageFrame, QueuePresenceFrame),
            *(QueueTypingFrame, QueueAckFrame, ErrorFrame, PongFrame),
        ),
        query=FollowChats.model_json_schema()["properties"],
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


@router.websocket("/chats/live")
async def queue(websocket: WebSocket) -> None:
    """Follow all conversations one may answer, and answer them. `?after=` a position replays messages."""

    async def talk(connection: Connection) -> None:
        position = connection.position(connection.query(FollowChats).after)
        actor = await connection.authenticate()
        if not actor.may(SUPPORT):
            raise Hangup(NOT_ALLOWED)
        feed = QueueFeed(actor, hub=connection.hub, position=position)
        async with feed.seated():
            await connection.hold(feed.seat, _read_queue(connection, feed.seat), connection.tell(feed))

    await serve(websocket, talk)


async def _read_queue(connection: Connection, seat: Seat) -> None:
    async for frame in connection.frames(QUEUE_FRAME):
        conversation_id = None if isinstance(frame, PingFrame) else frame.conversation_id
        try:
            reply = await _act(connection, seat, frame, conversation_id=conversation_id)
        except CremaError as error:
            await connection.refuse(error, frame=frame)
            continue
        if isinstance(reply, AckFrame) and conversation_id is not None:
            reply = QueueAckFrame(**reply.model_dump(), conversation_id=conversation_id)
        if reply is not None:
            await connection.send(reply)


async def _act(
    connection: Connection, seat: Seat, frame: ChatFrame | QueueFrame, *, conversation_id: UUID | None
) -> BaseModel | None:
    """Do what a frame asks, in a transaction of its own; return the reply, to be sent after the commit."""
    async with connection.hub.transaction() as session:
        await connection.hub.check(session, [seat])
        if seat.closing is not None:
            raise Hangup(seat.closing)
        if conversation_id is None or isinstance(frame, PingFrame):
            return PongFrame()
        return await _talk(session, seat, frame, conversation_id=conversation_id, now=connection.now())


async def _talk(
    session: AsyncSession,
    seat: Seat,
    frame: MessageFrame | TypingFrame | ReadFrame,
    *,
    conversation_id: UUID,
    now: datetime,
) -> BaseModel | None:
    actor = seat.actor
    match frame:
        case MessageFrame():
            wanted = SendMessage(**frame.model_dump(exclude={"type", "conversation_id"}))
            sent, _ = await talking.send(session, conversation_id=conversation_id, actor=actor, wanted=wanted, now=now)
            return AckFrame(client_id=sent.client_id, seq=sent.seq)
        case ReadFrame():
            await talking.read(session, conversation_id=conversation_id, actor=actor, seq=frame.seq, now=now)
        case TypingFrame():
            await talking.type_on(session, conversation_id=conversation_id, actor=actor)
    return None


async def _follow(websocket: WebSocket, *, conversation_id: UUID | None) -> None:
    async def talk(connection: Connection) -> None:
        after = connection.query(FollowChat).after
        await Talk(connection, rooms=websocket.app.state.rooms).run(conversation_id=conversation_id, after=after)

    await serve(websocket, talk)


class Talk:
    """One socket in a conversation: a reader that acts on frames, beside a pump that tells what is new."""

    def __init__(self, connection: Connection, *, rooms: Rooms) -> None:
        self._connection = connection
        self._rooms = rooms

    async def run(self, *, conversation_id: UUID | None, after: int | None) -> None:
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
                raise Hangup(NO_SUCH) from error

        seat = Seat(actor, topic_of(conversation.id))
        with self._rooms.entered(conversation, seat) as room:
            async with self._connection.hub.seated(seat):
                ready = ConversationOut.model_validate(conversation)
                await self._connection.send(ReadyFrame(conversation=ready, last_seq=ready.last_seq))
                room.look()  # something may have come before the seat was taken
                if after is not None and after > ready.last_seq:
                    detail = "The conversation has no message with this number yet; what is new follows from its end."
                    await self._connection.refuse(InvalidPositionError(detail))
                position = ready.last_seq if after is None else min(after, ready.last_seq)
                await self._connection.hold(
                    seat,
                    self._read(seat, conversation),
                    self._pump(seat, room, told=State.of(conversation), position=position),
                )

    async def _read(self, seat: Seat, conversation: Conversation) -> None:
        async for frame in self._connection.frames(CLIENT_FRAME):
            try:
                reply = await _act(self._connection, seat, frame, conversation_id=conversation.id)
            except NotFoundError as error:
                raise Hangup(NOT_ALLOWED) from error
            except CremaError as error:
                await self._connection.refuse(error, frame=frame)
                continue
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
        yield ConversationFrame(id=after.id, status=ConversationStatus(after.status), assigned_to=after.assigned_to)
    for side in Side:
        if before.read_seq[side] != after.read_seq[side]:
            yield ReceiptFrame(side=side, seq=after.read_seq[side])
    if before.note_count != after.note_count and after.side_of(to) == Side.STAFF:
        yield NoteFrame(conversation_id=after.id, count=after.note_count)
    for user_id in sorted((before.present ^ after.present) - {to}):
        yield PresenceFrame(user_id=user_id, side=after.side_of(user_id), online=user_id in after.present)
