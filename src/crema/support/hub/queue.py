"""The live feed of the queue, read and encoded once for all staff who follow it in this process."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import Actor
from crema.db import changes
from crema.db.hints import Hint
from crema.live import queries as live
from crema.live.domain import RESUMABLE, InvalidPositionError, Position
from crema.live.hub import Batch, Feed, Frame, Hub, Model, Subscription
from crema.live.schemas import ErrorFrame
from crema.support import domain, queries
from crema.support.domain import SUPPORT, Side, conversation_id_of, topic_of
from crema.support.models import Conversation, Message
from crema.support.schemas import (
    MessageOut,
    QueuedConversationFrame,
    QueuedConversationOut,
    QueueMessageFrame,
    QueuePresenceFrame,
    QueueSnapshotFrame,
    QueueTypingFrame,
    RemovedFrame,
)

MAX_CHANGES: Final = 500
"""More changes than this are not sent one by one: subscriptions get a new snapshot."""
NO_USERS: Final = frozenset[UUID]()


class QueueSubscription(Subscription):
    """One socket that follows the queue.

    `shown` are the conversations it knows, with their customers. `resume_from` is the position from which messages
    are sent again after the first snapshot. `is_truncated` is set when there were too many changes to send one by one:
    the next snapshot comes with an error frame that says so.
    """

    def __init__(self, actor: Actor, *, position: Position | None) -> None:
        super().__init__(actor=actor, topic=domain.QUEUE_TOPIC, allows=lambda now: now.may(SUPPORT))
        self.resume_from = position
        self.is_truncated = False
        self.shown: dict[UUID, UUID] = {}


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one snapshot of the database contains: the changes since the last reading.

    `before` and `after` are the positions of both readings. `conversations` has the conversation of each message.
    """

    before: Position
    after: Position
    changed: Sequence[Conversation] = ()
    messages: Sequence[Message] = ()
    conversations: Mapping[UUID, Conversation] = field(default_factory=dict)
    present: Mapping[UUID, frozenset[UUID]] = field(default_factory=dict)


class QueueFeed(Feed[QueueSubscription]):
    """All conversations, for the staff who may answer them.

    A changed conversation is sent with all its fields, and messages in the order of `seq`, so that reading a change
    twice does no harm.
    """

    pause_factor = 5

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.reset()

    def reset(self) -> None:
        """Forget the last reading: there are no subscriptions any more."""
        self._position: Position | None = None
        self._last_changed_in: dict[UUID, int] = {}
        self._last_seqs: dict[UUID, int] = {}
        self._present: Mapping[UUID, frozenset[UUID]] = {}

    def handle_hint(self, hint: Hint | None) -> None:
        """Read what is new, or send the hint's frame to those who see its conversation."""
        if hint is None:
            self.wake()
            return
        for conversation_id in filter(None, map(conversation_id_of, hint.topics)):
            if hint.frame is None:
                self.wake()
                continue
            frame = Frame(QueueTypingFrame(**hint.frame, conversation_id=conversation_id))
            for subscription in self._topics:
                is_own = hint.frame["user_id"] == str(subscription.actor.user_id)
                if conversation_id in subscription.shown and not is_own:
                    subscription.push_transient(frame)

    def _topics_of(self, subscription: QueueSubscription) -> Iterable[str]:
        del subscription  # each reading decides who sees what
        return [domain.CONVERSATION_TOPIC]

    async def _read(self, session: AsyncSession) -> None:
        reading = await self._read_changes(session)
        await self._check(session, [*self._topics])
        due = self._take_due()
        snapshots = {each: await self._list_queue(session, each) for each in due if each.closing is None}
        shown = {conversation.id for queue in snapshots.values() for conversation in queue}
        shown |= {conversation_id for each in self._topics for conversation_id in each.shown}
        present = await _list_present(session, shown | reading.conversations.keys())
        renderer = _Renderer(reading, before=self._present, present=present)
        for subscription in self._topics:
            if subscription.is_full and not subscription.is_due:
                subscription.resume_from, subscription.is_due = reading.before, True
            if not subscription.is_due and subscription.closing is None:
                subscription.push(Batch([*renderer.changes(subscription)]))
        for subscription, queue in snapshots.items():
            missed = await self._list_missed(session, subscription, reading)
            subscription.push(Batch([renderer.snapshot(subscription, queue), *missed]))
            subscription.is_due = False
        self._position, self._present = reading.after, present

    async def _read_changes(self, session: AsyncSession) -> _Reading:
        """Return what changed since the last reading, whoever may see it."""
        position = Position(*await changes.get_position(session))
        before = self._position or position
        since, limit = before.transaction, MAX_CHANGES + 1
        changed = await queries.list_changed_conversations(session, since=since, limit=limit)
        messages = await queries.list_messages_since(session, since=since, limit=limit)
        of_messages = {message.conversation_id for message in messages} - {each.id for each in changed}
        others = await queries.list_by_ids(session, ids=of_messages)
        last_changed_in, last_seqs = self._last_changed_in, self._last_seqs
        self._last_changed_in = {each.id: each.changed_in for each in changed}
        self._last_seqs = {message.conversation_id: message.seq for message in messages}
        if self._position is None:
            return _Reading(position, position)
        if max(len(changed), len(messages)) > MAX_CHANGES or since > position.transaction:
            for subscription in self._topics:
                subscription.is_truncated = not subscription.is_due
                subscription.start_over()
            return _Reading(position, position)
        return _Reading(
            before,
            position,
            changed=[each for each in changed if last_changed_in.get(each.id) != each.changed_in],
            messages=[each for each in messages if each.seq > last_seqs.get(each.conversation_id, 0)],
            conversations={each.id: each for each in (*changed, *others)},
        )

    async def _list_queue(self, session: AsyncSession, subscription: QueueSubscription) -> Sequence[Conversation]:
        queue = await queries.list_queue(session, actor=subscription.actor)
        subscription.shown = {each.id: each.customer_id for each in queue}
        return queue

    async def _list_missed(
        self, session: AsyncSession, subscription: QueueSubscription, reading: _Reading
    ) -> Sequence[Frame]:
        """Return what follows a snapshot: the messages since the position to resume from, or an error frame."""
        since, subscription.resume_from = subscription.resume_from, None
        is_truncated, subscription.is_truncated = subscription.is_truncated, False
        if is_truncated:
            return [_gap_frame("Too much has changed at once.")]
        if since is None:
            return []
        if since.at < self._hub.now() - RESUMABLE or since.transaction > reading.after.transaction:
            return [_gap_frame("This position is too old, or of another server.")]
        messages = await queries.list_messages_since(
            session, actor=subscription.actor, since=since.transaction, limit=MAX_CHANGES + 1
        )
        if len(messages) > MAX_CHANGES:
            return [_gap_frame(f"More than {MAX_CHANGES} messages came after this position.")]
        # All have the old position: a client that resumes after some of them gets all of them again.
        return [Frame(_message_frame(each, str(since))) for each in messages]


class _Renderer:
    """Encodes one reading, once for all subscriptions. Only people who are present get frames of their own."""

    def __init__(
        self,
        reading: _Reading,
        *,
        before: Mapping[UUID, frozenset[UUID]],
        present: Mapping[UUID, frozenset[UUID]],
    ) -> None:
        self._reading = reading
        self._before = before
        self._present = present
        self._frames: dict[Any, Frame] = {}
        self._queued_by_id: dict[UUID, QueuedConversationOut] = {}

    def snapshot(self, subscription: QueueSubscription, queue: Sequence[Conversation]) -> Frame:
        """Return the frame of the whole queue."""
        queued = [self._queued(each, subscription.actor.user_id) for each in queue]
        return Frame(QueueSnapshotFrame(position=str(self._reading.after), conversations=queued))

    def changes(self, subscription: QueueSubscription) -> Iterator[Frame]:
        """Yield the frames of what changed for a subscription, and update its `shown`.

        Only the last frame has the position of this reading: a client that resumes before it gets all of them again.
        """
        frames = [*self._changed_frames(subscription)]
        for at, (key, make) in enumerate(frames):
            position = self._reading.after if at == len(frames) - 1 else self._reading.before
            if (key, position) not in self._frames:
                self._frames[key, position] = Frame(make(str(position)))
            yield self._frames[key, position]
        yield from self._presence(subscription, except_ids={each.id for each in self._reading.changed})

    def _changed_frames(self, subscription: QueueSubscription) -> Iterator[tuple[Hashable, Callable[[str], Model]]]:
        """Yield a key and a function for each frame: equal keys are equal frames, the function takes a position."""
        actor, shown = subscription.actor, subscription.shown
        seen = [each for each in self._reading.changed if domain.may_see(actor, each)]
        for conversation_id in {each.id for each in self._reading.changed} - {each.id for each in seen}:
            if shown.pop(conversation_id, None):
                yield conversation_id, partial(_removed_frame, conversation_id)
        for conversation in seen:
            shown[conversation.id] = conversation.customer_id
            is_present = actor.user_id in self._present.get(conversation.id, NO_USERS)
            queued = self._queued(conversation, actor.user_id)
            yield (conversation, actor.user_id if is_present else None), partial(_conversation_frame, queued)
        for message in self._reading.messages:
            if domain.may_see(actor, self._reading.conversations[message.conversation_id]):
                yield message, partial(_message_frame, message)

    def _queued(self, conversation: Conversation, user_id: UUID) -> QueuedConversationOut:
        if conversation.id not in self._queued_by_id:
            self._queued_by_id[conversation.id] = QueuedConversationOut.model_validate(conversation)
        online = sorted(self._present.get(conversation.id, NO_USERS) - {user_id})
        return self._queued_by_id[conversation.id].model_copy(update={"online": online})

    def _presence(self, subscription: QueueSubscription, *, except_ids: Collection[UUID]) -> Iterator[Frame]:
        """Yield frames of people who came to or left a conversation, except those sent with all their fields."""
        for conversation_id, user_id in self._presence_changes:
            if conversation_id in except_ids or conversation_id not in subscription.shown:
                continue
            is_customer = subscription.shown[conversation_id] == user_id
            if user_id != subscription.actor.user_id:
                yield self._presence_frame(conversation_id, user_id, is_customer=is_customer)

    @cached_property
    def _presence_changes(self) -> Sequence[tuple[UUID, UUID]]:
        return [
            (conversation_id, user_id)
            for conversation_id in self._before.keys() | self._present.keys()
            for user_id in sorted(
                self._before.get(conversation_id, NO_USERS) ^ self._present.get(conversation_id, NO_USERS)
            )
        ]

    def _presence_frame(self, conversation_id: UUID, user_id: UUID, *, is_customer: bool) -> Frame:
        key = conversation_id, user_id
        if key not in self._frames:
            self._frames[key] = Frame(
                QueuePresenceFrame(
                    conversation_id=conversation_id,
                    user_id=user_id,
                    side=Side.CUSTOMER if is_customer else Side.STAFF,
                    online=user_id in self._present.get(conversation_id, NO_USERS),
                )
            )
        return self._frames[key]


async def _list_present(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, frozenset[UUID]]:
    topics = {topic_of(each): each for each in ids}
    present = await live.list_present(session, topics=topics)
    return {topics[topic]: frozenset(people) for topic, people in present.items()}


def _removed_frame(conversation_id: UUID, position: str) -> Model:
    return RemovedFrame(conversation_id=conversation_id, position=position)


def _conversation_frame(queued: QueuedConversationOut, position: str) -> Model:
    return QueuedConversationFrame(**queued.model_dump(), position=position)


def _message_frame(message: Message, position: str) -> Model:
    return QueueMessageFrame(**MessageOut.model_validate(message).model_dump(), position=position)


def _gap_frame(detail: str) -> Frame:
    detail = f"{detail} Read the missing messages from GET /chat/{{conversation_id}}/messages."
    return Frame(ErrorFrame(code=InvalidPositionError.code, detail=detail))
