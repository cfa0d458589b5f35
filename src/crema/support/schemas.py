"""JSON of the support chat."""

from typing import Annotated, Final, Literal, Self, TypeAlias
from uuid import UUID

from pydantic import (
    MISSING,
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    model_validator,
)
from pydantic_core import PydanticKnownError

from crema.live.schemas import PingFrame
from crema.schemas import Input, Instant, MatchesPattern, Output, Text, VisibleText, require_visible
from crema.support.domain import MAX_TEXT, ConversationStatus, Side, count_characters

MAX_SEQ: Final = 2**31 - 1


def _check_length(value: object) -> object:
    """Refuse a text that is too long as it was sent. Its length in NFC is checked afterwards."""
    if isinstance(value, str) and count_characters(value.strip()) > MAX_TEXT:
        raise PydanticKnownError("string_too_long", {"max_length": MAX_TEXT})
    return value


MessageText = Annotated[
    Text,
    BeforeValidator(_check_length),
    Field(
        max_length=MAX_TEXT,
        examples=["Где мой латте?"],
        description=f"Up to {MAX_TEXT} characters after trimming. A character is a Unicode code point: in JavaScript"
        " `[...text].length`, not `text.length`.",
    ),
]
ClientId = Annotated[
    str,
    MatchesPattern(r"^[A-Za-z0-9._:-]{1,64}$", "send 1 to 64 Latin letters, digits and . _ : -"),
    Field(
        examples=["01a2074f-26f7"],
        description="Chosen by the client. Messages with the same `client_id` are stored once.",
    ),
]

MAX_PREVIEW: Final = 120
Seq = Annotated[int, Field(strict=True, ge=0, le=MAX_SEQ, examples=[12])]


class OpenConversation(Input):
    """What the conversation is about: an order of yours, a shop, or nothing."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{}, {"order_id": "019aaf5e-7c00-7a3b-8f61-2d9c41e0b7a5"}]}
    )

    shop_id: UUID | None = None
    order_id: UUID | None = None


class WriteFirst(Input):
    """A message of the staff to a customer; `order_id` is the order it is about."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"customer_id": "019aaf5e-7c00-7a3b-8f61-2d9c41e0b7a5", "text": "Вы забыли у нас зонт."}]
        }
    )

    customer_id: UUID
    order_id: UUID | None = Field(None, description="An order of the customer that you may see.")
    text: Annotated[MessageText, AfterValidator(require_visible)]
    client_id: ClientId | None = None


SeenSeq = Annotated[
    Seq, Field(description="With `resolved`: the last message you have seen. By default the last one marked as read.")
]


class ChangeConversation(Input):
    """`assigned_to` null removes the assignment."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "resolved", "seen_seq": 12}]})

    status: ConversationStatus | MISSING = MISSING
    assigned_to: UUID | MISSING | None = MISSING
    seen_seq: SeenSeq | MISSING = MISSING

    @model_validator(mode="after")
    def _check_seen_seq(self) -> Self:
        if self.seen_seq is not MISSING and self.status != ConversationStatus.RESOLVED:
            raise ValueError("send seen_seq together with the status resolved")
        return self


class _Content(Input):
    text: MessageText = ""
    attachment_id: UUID | None = Field(
        None, description="An upload of yours to this conversation that was not sent yet."
    )

    @model_validator(mode="after")
    def _check_not_empty(self) -> Self:
        if not self.text and self.attachment_id is None:
            raise ValueError("send a text or an attachment")
        return self


class SendMessage(_Content):
    """A message to the other side: a text, an attachment, or both."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "Где мой латте?", "client_id": "phone-1"}]})

    client_id: ClientId | None = None


class ReadMessages(Input):
    """The last message that was read."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seq": 12}]})

    seq: Seq


class ParticipantOut(Output):
    """The customer, or the person who answers."""

    id: UUID
    name: str | None


class ConversationOut(Output):
    """A conversation. `last_seq` is the `seq` of its newest message."""

    id: UUID
    customer: ParticipantOut
    shop_id: UUID | None
    order_id: UUID | None
    status: ConversationStatus
    assigned_to: UUID | None = Field(description="The person it is assigned to, while they may answer customers.")
    waiting_since: Instant | None = Field(description="When the oldest unanswered message was sent.")
    last_seq: int
    customer_read_seq: int
    staff_read_seq: int
    unread_by_customer: int
    unread_by_staff: int
    last_message_at: Instant
    created_at: Instant
    updated_at: Instant


class AuthorOut(Output):
    """The author, with the role they had then."""

    id: UUID
    name: str | None
    role: str


class LastMessageOut(Output):
    """The newest message of either side. Without a text it is an attachment."""

    author: AuthorOut
    text: Annotated[str, BeforeValidator(lambda text: text[:MAX_PREVIEW])] = Field(
        description=f"Its first {MAX_PREVIEW} characters."
    )
    created_at: Instant


class ListedConversationOut(ConversationOut):
    """A conversation in a list."""

    last_message: LastMessageOut | None = Field(description="Of either side, without notes.")


class AttachmentOut(Output):
    """A picture, as WebP, or a PDF."""

    id: UUID
    name: str = Field(examples=["receipt.pdf"])
    content_type: str = Field(examples=["application/pdf"])
    size: int = Field(description="Bytes.", examples=[48213])
    width: int | None = Field(description="In pixels; null for a PDF.")
    height: int | None
    url: str = Field(description="Fetching it needs a login that may see the conversation.")


class AttachmentForm(Input):
    """A form that has only the file."""


class NoteOut(Output):
    """A note of the staff about a conversation."""

    id: UUID
    conversation_id: UUID
    author: AuthorOut
    text: str
    created_at: Instant


class WriteNote(Input):
    """A note for the staff."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "Звонила, ждёт возврата."}]})

    text: Annotated[VisibleText, Field(max_length=MAX_TEXT, examples=["Звонила, ждёт возврата."])]


class MessageOut(Output):
    """A message."""

    id: UUID
    seq: int = Field(description="Counts from 1 without gaps in each conversation.", examples=[12])
    conversation_id: UUID
    author: AuthorOut
    text: str
    attachment: AttachmentOut | None
    client_id: str
    created_at: Instant


class MessageFrame(_Content):
    """Send a message. The server replies with `ack`; sent again, with the same `seq`."""

    type: Literal["message"]
    client_id: ClientId


def _parse_seq(value: object) -> object:
    """Return the number of a query parameter. Larger numbers than any `seq` become the largest."""
    if not (isinstance(value, str) and value.isascii() and value.isdecimal()):
        raise ValueError("send a number from 0 on")
    return min(int(value[:10]), MAX_SEQ)


class FollowChat(Input):
    """The query parameters of a conversation's WebSocket."""

    after: Annotated[int, BeforeValidator(_parse_seq), Field(ge=0, le=MAX_SEQ)] | None = Field(
        None, description="Send the messages after this `seq` first; by default only new ones are sent."
    )


class FollowChats(Input):
    """The query parameters of the queue's WebSocket."""

    after: str | None = Field(
        None,
        description="A position: after the snapshot, send the messages written since then.",
        examples=["84213-1795428000"],
    )


class TypingFrame(Input):
    """Tell the others that you are typing. They show it for 5 seconds: repeat the frame every 3 seconds."""

    type: Literal["typing"]


class ReadFrame(ReadMessages):
    """Mark all messages up to `seq` as read."""

    type: Literal["read"]


ChatFrame: TypeAlias = MessageFrame | TypingFrame | ReadFrame | PingFrame
CLIENT_FRAME: TypeAdapter[ChatFrame] = TypeAdapter(Annotated[ChatFrame, Field(discriminator="type")])


class ReadyFrame(Output):
    """The first frame of the server. The messages after `last_seq`, or after the `after` of the query, follow."""

    type: Literal["ready"] = "ready"
    conversation: ConversationOut
    last_seq: int


class NewMessageFrame(MessageOut):
    """A message of either side, also your own, in the order of `seq`."""

    type: Literal["message"] = "message"


class AckFrame(Output):
    """Your message was stored with this `seq`."""

    type: Literal["ack"] = "ack"
    client_id: str
    seq: int


class TypingOutFrame(Output):
    """Somebody else is typing. Show it for 5 seconds: no frame says that they stopped."""

    type: Literal["typing"] = "typing"
    user_id: UUID
    side: Side


class ReceiptFrame(Output):
    """One side has read all messages up to `seq`."""

    type: Literal["read"] = "read"
    side: Side
    seq: int


class PresenceFrame(Output):
    """Somebody else connected to the conversation, or closed their last connection to it."""

    type: Literal["presence"] = "presence"
    user_id: UUID
    side: Side
    online: bool


class NoteFrame(Output):
    """Only for staff: notes were added. Read them from `GET /chat/{conversation_id}/notes`."""

    type: Literal["note"] = "note"
    conversation_id: UUID
    count: int


class ConversationFrame(Output):
    """The status of the conversation or its assignment has changed."""

    type: Literal["conversation"] = "conversation"
    id: UUID
    status: ConversationStatus
    assigned_to: UUID | None


class AnswerFrame(MessageFrame):
    """Send a message to a conversation of the queue. The server replies with `ack`."""

    conversation_id: UUID


class AnswerTypingFrame(TypingFrame):
    """Tell the others in a conversation that you are typing. They show it for 5 seconds: repeat it every 3 seconds."""

    conversation_id: UUID


class AnswerReadFrame(ReadFrame):
    """Mark all messages of a conversation up to `seq` as read."""

    conversation_id: UUID


QueueFrame: TypeAlias = AnswerFrame | AnswerTypingFrame | AnswerReadFrame | PingFrame
QUEUE_FRAME: TypeAdapter[QueueFrame] = TypeAdapter(Annotated[QueueFrame, Field(discriminator="type")])

_POSITION: Final = Field(description="Send it as `?after=` to resume from here.", examples=["84213-1795428000"])


class AssigneeOut(Output):
    """A person who may answer customers."""

    id: UUID
    name: str | None
    role: str = Field(validation_alias="role_name", examples=["support"])
    shop_ids: list[UUID] = Field(description="The shops the person is tied to.")


class QueuedConversationOut(ListedConversationOut):
    """A conversation of the queue, with its last message and the other people who are connected to it."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    assignee: ParticipantOut | None
    online: list[UUID] = Field(
        default_factory=list, description="The other people who are connected to it: staff, and the customer."
    )


class QueueSnapshotFrame(Output):
    """The unresolved conversations that you may see, at most 500, the longest waiting first.

    Replace what you have. It is the first frame of each connection, and comes again when your rights or shops change.
    """

    type: Literal["snapshot"] = "snapshot"
    position: str = _POSITION
    conversations: list[QueuedConversationOut]


class QueuedConversationFrame(QueuedConversationOut):
    """A conversation that is new to you or has changed, with all its fields."""

    type: Literal["conversation"] = "conversation"
    position: str = _POSITION


class RemovedFrame(Output):
    """A conversation that you may not see any more: it is assigned to somebody else, or of another shop."""

    type: Literal["removed"] = "removed"
    conversation_id: UUID
    position: str = _POSITION


class QueueMessageFrame(NewMessageFrame):
    """A message of either side, also your own, in the order of `seq` in each conversation.

    After you resume, messages may come again: ignore those whose `seq` you have.
    """

    position: str = _POSITION


class QueueAckFrame(AckFrame):
    """Your message was stored with this `seq` of its conversation."""

    conversation_id: UUID


class QueueTypingFrame(TypingOutFrame):
    """Somebody else is typing in a conversation. Show it for 5 seconds: no frame says that they stopped."""

    conversation_id: UUID


class QueuePresenceFrame(PresenceFrame):
    """Somebody else connected to a conversation, or closed their last connection to it."""

    conversation_id: UUID
