"""The queue of all conversations, read and encoded once for all in this process who answer."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import Actor
from crema.db import changes
from crema.db.events import Event
from crema.live import queries as live
from crema.live.domain import RESUMABLE, InvalidPositionError, Position
from crema.live.hub import Batch, Feed, Frame, Hub, Model, Subscription
from crema.live.schemas import ErrorFrame
from crema.support import domain, queries
from crema.support.domain import SUPPORT, Side, conversation_of, topic_of
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
"""More at once than this isn't told one by one."""
NOBODY: Final = frozenset[UUID]()


class QueueSubscription(Subscription):
    """One reader of the queue.

    `shown` are the conversations it was told of, with their customers. `resumed` is from where messages are told again
    after the first snapshot; `is_cut` says that so many came at once that this is told with the next one.
    """

    def __init__(self, actor: Actor, *, position: Position | None) -> None:
        super().__init__(actor=actor, topic=domain.FOLLOWERS_TOPIC, allows=lambda now: now.may(SUPPORT))
        self.resumed = position
        self.is_cut = False
        self.shown: dict[UUID, UUID] = {}


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one snapshot of the database had: what changed since the reading before, and who is present where.

    `before` and `after` are the positions of both. Each conversation is there of which a message is.
    """

    before: Position
    after: Position
    changed: Sequence[Conversation] = ()
    messages: Sequence[Message] = ()
    conversations: Mapping[UUID, Conversation] = field(default_factory=dict)
    present: Mapping[UUID, frozenset[UUID]] = field(default_factory=dict)


class QueueFeed(Feed[QueueSubscription]):
    """All conversations, for those who answer.

    A conversation comes whole, and messages by the `seq` of each conversation, so what is read twice is told once.
    """

    pause_factor = 5

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.reset()

    def reset(self) -> None:
        """Forget what was read before: nobody follows any more."""
        self._position: Position | None = None
        self._told: dict[UUID, int] = {}
        self._seqs: dict[UUID, int] = {}
        self._present: Mapping[UUID, frozenset[UUID]] = {}

    def handle_event(self, event: Event | None) -> None:
        """Read what is new, or pass a frame on to those who see its conversation."""
        if event is None:
            self.wake()
            return
        for conversation_id in filter(None, map(conversation_of, event.topics)):
            if event.frame is None:
                self.wake()
                continue
            frame = Frame(QueueTypingFrame(**event.frame, conversation_id=conversation_id))
            for subscription in self._topics:
                is_own = event.frame["user_id"] == str(subscription.actor.user_id)
                if conversation_id in subscription.shown and not is_own:
                    subscription.push_passing(frame)

    def _topics_of(self, subscription: QueueSubscription) -> Iterable[str]:
        del subscription  # each reading decides who sees what of it
        return [domain.TOPIC]

    async def _read(self, session: AsyncSession) -> None:
        reading = await self._list_news(session)
        await self._check(session, [*self._topics])
        due = self._take_due()
        snapshots = {each: await self._list_queue(session, each) for each in due if each.closing is None}
        shown = {conversation.id for queue in snapshots.values() for conversation in queue}
        shown |= {conversation_id for each in self._topics for conversation_id in each.shown}
        present = await _list_present(session, shown | reading.conversations.keys())
        renderer = _Renderer(reading, before=self._present, present=present)
        for subscription in self._topics:
            if subscription.is_full and not subscription.is_due:
                subscription.resumed, subscription.is_due = reading.before, True
            if not subscription.is_due and subscription.closing is None:
                subscription.push(Batch([*renderer.changes(subscription)]))
        for subscription, queue in snapshots.items():
            missed = await self._list_missed(session, subscription, reading)
            subscription.push(Batch([renderer.snapshot(subscription, queue), *missed]))
            subscription.is_due = False
        self._position, self._present = reading.after, present

    async def _list_news(self, session: AsyncSession) -> _Reading:
        """Read what changed since the last reading, and wasn't told then, whoever may see it."""
        position = Position(*await changes.get_position(session))
        before = self._position or position
        since, limit = before.transaction, MAX_CHANGES + 1
        changed = await queries.list_changed_conversations(session, since=since, limit=limit)
        messages = await queries.list_written_messages(session, since=since, limit=limit)
        of_messages = {message.conversation_id for message in messages} - {each.id for each in changed}
        others = await queries.list_followed(session, ids=of_messages)
        told, seqs = self._told, self._seqs
        self._told = {each.id: each.changed_in for each in changed}
        self._seqs = {message.conversation_id: message.seq for message in messages}
        if self._position is None:
            return _Reading(position, position)
        if max(len(changed), len(messages)) > MAX_CHANGES or since > position.transaction:
            for subscription in self._topics:
                subscription.is_cut = not subscription.is_due
                subscription.start_over()
            return _Reading(position, position)
        return _Reading(
            before,
            position,
            changed=[each for each in changed if told.get(each.id) != each.changed_in],
            messages=[each for each in messages if each.seq > seqs.get(each.conversation_id, 0)],
            conversations={each.id: each for each in (*changed, *others)},
        )

    async def _list_queue(self, session: AsyncSession, subscription: QueueSubscription) -> Sequence[Conversation]:
        queue = await queries.list_queue(session, actor=subscription.actor)
        subscription.shown = {each.id: each.customer_id for each in queue}
        return queue

    async def _list_missed(
        self, session: AsyncSession, subscription: QueueSubscription, reading: _Reading
    ) -> Sequence[Frame]:
        """Give what follows a snapshot: the messages since the position that was resumed, or why there are none."""
        since, subscription.resumed = subscription.resumed, None
        is_cut, subscription.is_cut = subscription.is_cut, False
        if is_cut:
            return [_gap("More came at once than is told one by one.")]
        if since is None:
            return []
        if since.at < self._hub.now() - RESUMABLE or since.transaction > reading.after.transaction:
            return [_gap("This position is too old, or not of this server.")]
        messages = await queries.list_written_messages(
            session, actor=subscription.actor, since=since.transaction, limit=MAX_CHANGES + 1
        )
        if len(messages) > MAX_CHANGES:
            return [_gap(f"More than {MAX_CHANGES} messages came since.")]
        # Who resumes from the middle of these gets all of them again.
        return [Frame(_said(each, str(since))) for each in messages]


class _Renderer:
    """Encodes one reading: once for all, and once more for those whom their own presence isn't told."""

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
        self._outlines: dict[UUID, QueuedConversationOut] = {}

    def snapshot(self, subscription: QueueSubscription, queue: Sequence[Conversation]) -> Frame:
        """Return the frame of all there is."""
        outlines = [self._outline(each, subscription.actor.user_id) for each in queue]
        return Frame(QueueSnapshotFrame(position=str(self._reading.after), conversations=outlines))

    def changes(self, subscription: QueueSubscription) -> Iterator[Frame]:
        """Give a subscription's frames of what changed, and note what it is shown by them.

        Who resumes from before the last gets all of them again: only that one has the position of the reading.
        """
        told = [*self._told(subscription)]
        for at, (key, make) in enumerate(told):
            position = self._reading.after if at == len(told) - 1 else self._reading.before
            if (key, position) not in self._frames:
                self._frames[key, position] = Frame(make(str(position)))
            yield self._frames[key, position]
        yield from self._presence(subscription, but={each.id for each in self._reading.changed})

    def _told(self, subscription: QueueSubscription) -> Iterator[tuple[Hashable, Callable[[str], Model]]]:
        """Give what a subscription is told: what is the same for all by its key, and how it is made of a position."""
        actor, shown = subscription.actor, subscription.shown
        seen = [each for each in self._reading.changed if domain.may_see(actor, each)]
        for conversation_id in {each.id for each in self._reading.changed} - {each.id for each in seen}:
            if shown.pop(conversation_id, None):
                yield conversation_id, partial(_removed, conversation_id)
        for conversation in seen:
            shown[conversation.id] = conversation.customer_id
            is_present = actor.user_id in self._present.get(conversation.id, NOBODY)
            outline = self._outline(conversation, actor.user_id)
            yield (conversation, actor.user_id if is_present else None), partial(_stands, outline)
        for message in self._reading.messages:
            if domain.may_see(actor, self._reading.conversations[message.conversation_id]):
                yield message, partial(_said, message)

    def _outline(self, conversation: Conversation, user_id: UUID) -> QueuedConversationOut:
        if conversation.id not in self._outlines:
            self._outlines[conversation.id] = QueuedConversationOut.model_validate(conversation)
        online = sorted(self._present.get(conversation.id, NOBODY) - {user_id})
        return self._outlines[conversation.id].model_copy(update={"online": online})

    def _presence(self, subscription: QueueSubscription, *, but: Collection[UUID]) -> Iterator[Frame]:
        """Tell who is in a conversation now and was not, or was and is not; new conversations say so themselves."""
        for conversation_id, user_id in self._came_and_went:
            if conversation_id in but or conversation_id not in subscription.shown:
                continue
            is_customer = subscription.shown[conversation_id] == user_id
            if user_id != subscription.actor.user_id:
                yield self._presence_frame(conversation_id, user_id, is_customer=is_customer)

    @cached_property
    def _came_and_went(self) -> Sequence[tuple[UUID, UUID]]:
        return [
            (conversation_id, user_id)
            for conversation_id in self._before.keys() | self._present.keys()
            for user_id in sorted(
                self._before.get(conversation_id, NOBODY) ^ self._present.get(conversation_id, NOBODY)
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
                    online=user_id in self._present.get(conversation_id, NOBODY),
                )
            )
        return self._frames[key]


async def _list_present(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, frozenset[UUID]]:
    topics = {topic_of(each): each for each in ids}
    present = await live.list_present(session, topics=topics)
    return {topics[topic]: frozenset(people) for topic, people in present.items()}


def _removed(conversation_id: UUID, position: str) -> Model:
    return RemovedFrame(conversation_id=conversation_id, position=position)


def _stands(outline: QueuedConversationOut, position: str) -> Model:
    return QueuedConversationFrame(**outline.model_dump(), position=position)


def _said(message: Message, position: str) -> Model:
    return QueueMessageFrame(**MessageOut.model_validate(message).model_dump(), position=position)


def _gap(detail: str) -> Frame:
    detail = f"{detail} Read what is missing from GET /chat/…/messages."
    return Frame(ErrorFrame(code=InvalidPositionError.code, detail=detail))
