"""The WebSockets of the support chat. Frames are in `schemas`; what all sockets have in common is in `live.socket`."""

from datetime import datetime
from typing import Final
from uuid import UUID

from fastapi import APIRouter, WebSocket
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import Actor
from crema.core.errors import CremaError, NotFoundError
from crema.live.domain import NOT_ALLOWED, NOT_FOUND, InvalidPositionError
from crema.live.hub import Subscription
from crema.live.schemas import AuthFrame, ErrorFrame, PingFrame, PongFrame
from crema.live.socket import CloseSocket, Connection, serve
from crema.support import queries
from crema.support.deps import SupportState
from crema.support.domain import SUPPORT
from crema.support.hub import ChatSubscription, ConversationFeed, ConversationState, QueueSubscription
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
from crema.support.service import conversations
from crema.web.asyncapi import Channel
from crema.web.state import state_of

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
        description="Created at the first visit. An acknowledged message is stored; sent again, it is stored once.",
        receives=_RECEIVES,
        sends=_SENDS,
        query=_QUERY,
    ),
    Channel(
        name="chatOf",
        address="/chat/{conversation_id}",
        summary="A conversation, for the staff",
        description="Needs `support:write`. The conversation must be of a shop of the actor, or assigned to the actor.",
        receives=_RECEIVES,
        sends=_SENDS,
        query=_QUERY,
        parameters={"conversation_id": "The conversation's id, from GET /chats."},
    ),
    Channel(
        name="chats",
        address="/chats/live",
        summary="The whole queue, for the staff",
        description="Needs `support:write`. All conversations of the actor's shops or assigned to the actor, over one"
        " socket. It doesn't make the actor present in a conversation.",
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
    """Follow and write in the actor's own conversation, as a customer."""
    await _follow(websocket, conversation_id=None)


@router.websocket("/chat/{conversation_id}")
async def staff_chat(websocket: WebSocket, conversation_id: UUID) -> None:
    """Follow and write in a conversation, as staff with `support:write` or as its customer."""
    await _follow(websocket, conversation_id=conversation_id)


@router.websocket("/chats/live")
async def queue(websocket: WebSocket) -> None:
    """Follow and answer all conversations that the actor may see. `?after=` a position replays messages."""

    async def handle(connection: Connection) -> None:
        position = connection.position(connection.query(FollowChats).after)
        actor = await connection.authenticate()
        if not actor.may(SUPPORT):
            raise CloseSocket(NOT_ALLOWED)
        subscription = QueueSubscription(actor, position=position)
        async with state_of(websocket.app, SupportState).queue.subscribed(subscription):
            await connection.run(subscription, _read_queue(connection, subscription))

    await serve(websocket, handle)


async def _read_queue(connection: Connection, subscription: Subscription) -> None:
    async for frame in connection.frames(QUEUE_FRAME):
        conversation_id = None if isinstance(frame, PingFrame) else frame.conversation_id
        try:
            reply = await _handle_in_transaction(connection, subscription, frame, conversation_id=conversation_id)
        except CremaError as error:
            await connection.refuse(error, frame=frame)
            continue
        if isinstance(reply, AckFrame) and conversation_id is not None:
            reply = QueueAckFrame(**reply.model_dump(), conversation_id=conversation_id)
        if reply is not None:
            await connection.send(reply)


async def _handle_in_transaction(
    connection: Connection, subscription: Subscription, frame: ChatFrame | QueueFrame, *, conversation_id: UUID | None
) -> BaseModel | None:
    """Handle a frame in a transaction of its own; return the reply, which the caller sends after the commit."""
    async with connection.hub.transaction() as session:
        await connection.hub.check(session, [subscription])
        if subscription.closing is not None:
            raise CloseSocket(subscription.closing)
        if conversation_id is None or isinstance(frame, PingFrame):
            return PongFrame()
        return await _handle_frame(
            session, subscription, frame, conversation_id=conversation_id, now=connection.hub.now()
        )


async def _handle_frame(
    session: AsyncSession,
    subscription: Subscription,
    frame: MessageFrame | TypingFrame | ReadFrame,
    *,
    conversation_id: UUID,
    now: datetime,
) -> BaseModel | None:
    actor = subscription.actor
    match frame:
        case MessageFrame():
            wanted = SendMessage(**frame.model_dump(exclude={"type", "conversation_id"}))
            sent, _ = await conversations.send(
                session, conversation_id=conversation_id, actor=actor, wanted=wanted, now=now
            )
            return AckFrame(client_id=sent.client_id, seq=sent.seq)
        case ReadFrame():
            await conversations.mark_read(session, conversation_id=conversation_id, actor=actor, seq=frame.seq, now=now)
        case TypingFrame():
            await conversations.notify_typing(session, conversation_id=conversation_id, actor=actor)
    return None


async def _follow(websocket: WebSocket, *, conversation_id: UUID | None) -> None:
    async def handle(connection: Connection) -> None:
        after = connection.query(FollowChat).after
        feed = state_of(websocket.app, SupportState).conversations
        await ChatSession(connection, feed).run(conversation_id=conversation_id, after=after)

    await serve(websocket, handle)


class ChatSession:
    """One socket in a conversation: it handles the client's frames and sends what is new."""

    def __init__(self, connection: Connection, feed: ConversationFeed) -> None:
        self._connection = connection
        self._feed = feed

    async def run(self, *, conversation_id: UUID | None, after: int | None) -> None:
        """Authenticate, subscribe, then send and receive until either side closes."""
        actor = await self._connection.authenticate()
        conversation = await self._open(actor, conversation_id)
        ready = ConversationOut.model_validate(conversation)
        subscription = ChatSubscription(
            actor,
            state=ConversationState.of(conversation),
            position=ready.last_seq if after is None else min(after, ready.last_seq),
        )
        async with self._feed.subscribed(subscription):
            await self._connection.send(ReadyFrame(conversation=ready, last_seq=ready.last_seq))
            if after is not None and after > ready.last_seq:
                detail = "The conversation has no message with this `seq` yet. New messages follow."
                await self._connection.refuse(InvalidPositionError(detail))
            await self._connection.run(subscription, self._read(subscription, conversation.id))

    async def _open(self, actor: Actor, conversation_id: UUID | None) -> Conversation:
        """Return the conversation that is named, or the actor's own, which is created if there is none."""
        async with self._connection.hub.transaction() as session:
            try:
                if conversation_id is not None:
                    return await queries.get_conversation(session, conversation_id=conversation_id, actor=actor)
                now = self._connection.hub.now()
                return await conversations.get_or_create_own(session, actor=actor, wanted=OpenConversation(), now=now)
            except NotFoundError as error:
                raise CloseSocket(NOT_FOUND) from error

    async def _read(self, subscription: Subscription, conversation_id: UUID) -> None:
        async for frame in self._connection.frames(CLIENT_FRAME):
            try:
                reply = await _handle_in_transaction(
                    self._connection, subscription, frame, conversation_id=conversation_id
                )
            except NotFoundError as error:
                raise CloseSocket(NOT_ALLOWED) from error
            except CremaError as error:
                await self._connection.refuse(error, frame=frame)
                continue
            if reply is not None:
                await self._connection.send(reply)
