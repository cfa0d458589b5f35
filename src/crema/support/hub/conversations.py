"""The live feed of conversations, read and encoded once for all sockets of this process that follow them."""

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.domain import Actor
from crema.db.hints import Hint
from crema.live import queries as live
from crema.live.domain import NOT_ALLOWED
from crema.live.hub import Batch, Feed, Frame, Hub, Subscription
from crema.support import domain, queries
from crema.support.domain import ConversationStatus, Side, topic_of
from crema.support.models import Conversation
from crema.support.schemas import (
    ConversationFrame,
    NewMessageFrame,
    NoteFrame,
    PresenceFrame,
    ReceiptFrame,
    TypingOutFrame,
)

PAGE: Final = 50
"""Messages that a subscription which is behind gets at once."""


@dataclass(frozen=True, slots=True)
class ConversationState:
    """The state of a conversation without its messages, as sockets know it."""

    id: UUID
    customer_id: UUID
    status: str
    assigned_to: UUID | None
    read_seq: Mapping[Side, int]
    note_count: int
    present: frozenset[UUID]

    @classmethod
    def of(cls, conversation: Conversation, *, present: Collection[UUID] = ()) -> "ConversationState":
        """Return the state of a conversation and the people present in it."""
        return cls(
            id=conversation.id,
            customer_id=conversation.customer_id,
            status=conversation.status,
            assigned_to=conversation.assigned_to,
            read_seq={Side.CUSTOMER: conversation.customer_read_seq, Side.STAFF: conversation.staff_read_seq},
            note_count=conversation.note_count,
            present=frozenset(present),
        )

    def side_of(self, user_id: UUID) -> Side:
        """Return the side of a person."""
        return Side.CUSTOMER if user_id == self.customer_id else Side.STAFF


class ChatSubscription(Subscription):
    """One socket in a conversation. `position` is the `seq` of the last message it got, `state` the last state.

    While its person may see the conversation, a change of their rights doesn't change what the socket gets.
    """

    def __init__(self, actor: Actor, *, state: ConversationState, position: int) -> None:
        super().__init__(actor=actor, topic=topic_of(state.id))
        self.state = state
        self.position = position

    def start_over(self) -> None:
        """Do nothing: what the socket gets doesn't depend on its person's rights."""


class ConversationFeed(Feed[ChatSubscription]):
    """The conversations that sockets of this process follow, and who is present in them.

    One reading covers all conversations that hints have named. Every POLL_SECONDS the feed looks for others that
    have changed.
    """

    pause_factor = 3  # of a burst of messages, all after the first are read together

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._conversations: dict[UUID, Conversation] = {}
        self._states: dict[UUID, ConversationState] = {}
        self._changed_ids: set[UUID] = set()
        self._is_poll = False

    def handle_hint(self, hint: Hint | None) -> None:
        """Read the conversations that a hint names, or send the hint's frame, which needs no reading."""
        if hint is None:
            self.poll()
            return
        for topic in hint.topics:
            if topic not in self._by_topic:
                continue
            if hint.frame is None:
                self._changed_ids.update(each.state.id for each in self._by_topic[topic])
                self.wake()
                continue
            frame = Frame(TypingOutFrame(**hint.frame))
            for subscription in self._by_topic[topic]:
                if hint.frame["user_id"] != str(subscription.actor.user_id):
                    subscription.push_transient(frame)

    def poll(self) -> None:
        """Read the conversations that have changed without a hint."""
        self._is_poll = True
        self.wake()

    def _topics_of(self, subscription: ChatSubscription) -> Iterable[str]:
        conversation_id = subscription.state.id
        subscription.allows = lambda actor: self._may_follow(actor, conversation_id)
        return [subscription.topic]

    def _may_follow(self, actor: Actor, conversation_id: UUID) -> bool:
        """Return whether an actor may see a conversation as it was at the last reading, if there was one."""
        conversation = self._conversations.get(conversation_id)
        return conversation is None or domain.may_see(actor, conversation)

    def _remove(self, subscription: ChatSubscription) -> None:
        super()._remove(subscription)
        if subscription.topic not in self._by_topic:
            self._conversations.pop(subscription.state.id, None)
            self._states.pop(subscription.state.id, None)

    async def _read(self, session: AsyncSession) -> None:
        wanted, self._changed_ids = self._changed_ids, set()
        wanted |= {subscription.state.id for subscription in self._take_due()}
        if self._is_poll:
            self._is_poll = False
            wanted |= await self._find_changed(session)
        conversations = {each.id: each for each in await queries.list_by_ids(session, ids=wanted)}
        topics = [topic_of(each) for each in conversations]
        present = await live.list_present(session, topics=topics)
        subscriptions = [each for topic in topics for each in self._by_topic.get(topic, ())]
        self._conversations |= conversations  # `_check` needs them as they are now
        await self._check(session, subscriptions)
        for each in conversations.values():
            state = ConversationState.of(each, present=present.get(topic_of(each.id), ()))
            if state != self._states.get(each.id):  # keeps the object, which `_Updates` compares by identity
                self._states[each.id] = state
        ready = [each for each in subscriptions if self._is_ready(each)]
        updates = _Updates(await self._list_messages(session, ready))
        for subscription in ready:
            conversation_id = subscription.state.id
            updates.push(subscription, conversations[conversation_id], self._states[conversation_id])

    def _is_ready(self, subscription: ChatSubscription) -> bool:
        """Return whether a subscription gets the new frames now: it is allowed to, and has room for them."""
        if not self._may_follow(subscription.actor, subscription.state.id):
            subscription.close(NOT_ALLOWED)
        if subscription.is_full:
            subscription.is_due = True
        return subscription.closing is None and (subscription.needs_reading or not subscription.is_due)

    async def _find_changed(self, session: AsyncSession) -> set[UUID]:
        """Return the followed conversations whose state has changed since the last reading."""
        found = await queries.list_versions(session, ids=self._states)
        present = await live.list_present(session, topics=self._by_topic)
        return {
            conversation_id
            for conversation_id, state in self._states.items()
            if found.get(conversation_id) != (self._conversations[conversation_id].changed_in, state.assigned_to)
            or present.get(topic_of(conversation_id), set()) != state.present
        }

    async def _list_messages(
        self, session: AsyncSession, subscriptions: Iterable[ChatSubscription]
    ) -> dict[UUID, dict[int, Frame]]:
        """Return a page of messages after each position, as frames by conversation and `seq`."""
        behind = {
            (each.state.id, each.position)
            for each in subscriptions
            if each.position < self._conversations[each.state.id].last_seq
        }
        frames: dict[UUID, dict[int, Frame]] = {}
        for message in await queries.list_messages_after(session, positions=behind, limit=PAGE) if behind else ():
            of_conversation = frames.setdefault(message.conversation_id, {})
            if message.seq not in of_conversation:
                of_conversation[message.seq] = Frame(NewMessageFrame.model_validate(message))
        return frames


class _Updates:
    """The frames of one reading, encoded once for all subscriptions that get the same."""

    def __init__(self, messages: Mapping[UUID, Mapping[int, Frame]]) -> None:
        self._messages = messages
        self._batches: dict[Hashable, Batch] = {}
        self._diffs: dict[tuple[int, int], list[tuple[_Audience, Frame]]] = {}

    def push(self, subscription: ChatSubscription, conversation: Conversation, state: ConversationState) -> None:
        """Push the next messages to a subscription and, after the last one, the changes of the state."""
        position, before = subscription.position, subscription.state
        last = min(position + PAGE, conversation.last_seq)
        subscription.position = max(position, last)
        subscription.is_due = last < conversation.last_seq
        if not subscription.is_due:
            subscription.state = state
        has_changed = subscription.state is not before
        key = conversation.id, position, id(before) if has_changed else None, has_changed and subscription.actor.user_id
        if key not in self._batches:
            messages = self._messages.get(conversation.id, {})
            frames = [messages[seq] for seq in range(position + 1, last + 1) if seq in messages]
            frames += self._diff_for(subscription.actor.user_id, before=before, after=state) if has_changed else ()
            self._batches[key] = Batch(frames)
        subscription.push(self._batches[key])

    def _diff_for(self, user_id: UUID, *, before: ConversationState, after: ConversationState) -> Iterator[Frame]:
        key = id(before), id(after)
        if key not in self._diffs:
            self._diffs[key] = [*_diff_frames(before, after)]
        side = after.side_of(user_id)
        return (frame for audience, frame in self._diffs[key] if audience.includes(user_id, side))


@dataclass(frozen=True, slots=True)
class _Audience:
    """The people who get a frame: all, all except one, or one side."""

    except_id: UUID | None = None
    side: Side | None = None

    def includes(self, user_id: UUID, side: Side) -> bool:
        """Return whether a person on this side gets the frame."""
        return user_id != self.except_id and self.side in {None, side}


def _diff_frames(before: ConversationState, after: ConversationState) -> Iterator[tuple[_Audience, Frame]]:
    """Yield the frames of a changed state with their audiences. Nobody gets frames of their own presence."""
    everybody = _Audience()
    if (before.status, before.assigned_to) != (after.status, after.assigned_to):
        status = ConversationStatus(after.status)
        yield everybody, Frame(ConversationFrame(id=after.id, status=status, assigned_to=after.assigned_to))
    for side in Side:
        if before.read_seq[side] != after.read_seq[side]:
            yield everybody, Frame(ReceiptFrame(side=side, seq=after.read_seq[side]))
    if before.note_count != after.note_count:
        yield _Audience(side=Side.STAFF), Frame(NoteFrame(conversation_id=after.id, count=after.note_count))
    for user_id in sorted(before.present ^ after.present):
        frame = PresenceFrame(user_id=user_id, side=after.side_of(user_id), online=user_id in after.present)
        yield _Audience(except_id=user_id), Frame(frame)
