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
from crema.schemas import Input, Instant, Matching, Output, Text, VisibleText, visible
from crema.support.domain import MAX_TEXT, ConversationStatus, Side, size_of

MAX_SEQ: Final = 2**31 - 1


def _fits(value: object) -> object:
    """Refuse a longer text as it was written; what it becomes in NFC is measured afterwards."""
    if isinstance(value, str) and size_of(value.strip()) > MAX_TEXT:
        raise PydanticKnownError("string_too_long", {"max_length": MAX_TEXT})
    return value


MessageText = Annotated[
    Text,
    BeforeValidator(_fits),
    Field(
        max_length=MAX_TEXT,
        examples=["Где мой латте?"],
        description=f"Up to {MAX_TEXT} characters after trimming. A character is a Unicode code point, here as on the"
        " sockets: in JavaScript `[...text].length`, not `text.length`.",
    ),
]
ClientId = Annotated[
    str,
    Matching(r"^[A-Za-z0-9._:-]{1,64}$", "send 1 to 64 Latin letters, digits and . _ : -"),
    Field(examples=["01a2074f-26f7"], description="Your name for the message: sending it again stores nothing twice."),
]

SHOWN_OF_LAST: Final = 120
Seq = Annotated[int, Field(strict=True, ge=0, le=MAX_SEQ, examples=[12])]


class OpenConversation(Input):
    """What the conversation is about, if anything: an order of one's own, or a shop."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{}, {"order_id": "019aaf5e-7c00-7a3b-8f61-2d9c41e0b7a5"}]}
    )

    shop_id: UUID | None = None
    order_id: UUID | None = None


class WriteFirst(Input):
    """A first message to a customer; `order_id` is what it is about."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"customer_id": "019aaf5e-7c00-7a3b-8f61-2d9c41e0b7a5", "text": "Вы забыли у нас зонт."}]
        }
    )

    customer_id: UUID
    order_id: UUID | None = Field(None, description="An order of the customer's that you can see.")
    text: Annotated[MessageText, AfterValidator(visible)]
    client_id: ClientId | None = None


SeenSeq = Annotated[
    Seq, Field(description="With `resolved`: the last message you have seen. Without it, what you have read.")
]


class ChangeConversation(Input):
    """`assigned_to` null gives it back to the queue."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "resolved", "seen_seq": 12}]})

    status: ConversationStatus | MISSING = MISSING
    assigned_to: UUID | MISSING | None = MISSING
    seen_seq: SeenSeq | MISSING = MISSING

    @model_validator(mode="after")
    def _sees_what_it_resolves(self) -> Self:
        if self.seen_seq is not MISSING and self.status != ConversationStatus.RESOLVED:
            raise ValueError("send seen_seq together with the status resolved")
        return self


class _Content(Input):
    text: MessageText = ""
    attachment_id: UUID | None = Field(None, description="An upload of yours to this conversation, sent once.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.text and self.attachment_id is None:
            raise ValueError("send a text or an attachment")
        return self


class SendMessage(_Content):
    """A message to the other side: a text, an attachment, or both."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "Где мой латте?", "client_id": "phone-1"}]})

    client_id: ClientId | None = None


class ReadMessages(Input):
    """Up to which message one has read."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seq": 12}]})

    seq: Seq


class ParticipantOut(Output):
    """Whose conversation it is, or who answers in it."""

    id: UUID
    name: str | None


class ConversationOut(Output):
    """A conversation. `last_seq` is its newest message's number."""

    id: UUID
    customer: ParticipantOut
    shop_id: UUID | None
    order_id: UUID | None
    status: ConversationStatus
    assigned_to: UUID | None = Field(description="Who takes care of it, as long as they may answer customers.")
    waiting_since: Instant | None = Field(description="When the oldest message without an answer came.")
    last_seq: int
    customer_read_seq: int
    staff_read_seq: int
    unread_by_customer: int
    unread_by_staff: int
    last_message_at: Instant
    created_at: Instant
    updated_at: Instant


class AuthorOut(Output):
    """Who wrote it, and in which role then."""

    id: UUID
    name: str | None
    role: str


class LastMessageOut(Output):
    """What was said last, by either side; without a text it is an attachment."""

    author: AuthorOut
    text: Annotated[str, BeforeValidator(lambda text: text[:SHOWN_OF_LAST])] = Field(
        description=f"Its first {SHOWN_OF_LAST} characters."
    )
    created_at: Instant


class ListedConversationOut(ConversationOut):
    """A conversation in the queue."""

    last_message: LastMessageOut | None = Field(description="Of either side; staff's notes are none.")


class AttachmentOut(Output):
    """A picture, as WebP, or a PDF."""

    id: UUID
    name: str = Field(examples=["receipt.pdf"])
    content_type: str = Field(examples=["application/pdf"])
    size: int = Field(description="Bytes.", examples=[48213])
    width: int | None = Field(description="Of a picture.")
    height: int | None
    url: str = Field(description="Fetch it with the same login.")


class AttachmentForm(Input):
    """A file as a form, which has nothing beside it."""


class NoteOut(Output):
    """What the staff tell each other."""

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
    """A message, stored as written."""

    id: UUID
    seq: int = Field(description="From 1, without gaps.", examples=[12])
    conversation_id: UUID
    author: AuthorOut
    text: str
    attachment: AttachmentOut | None
    client_id: str
    created_at: Instant


class MessageFrame(_Content):
    """Says something; answered by `ack`, with an unchanged `seq` when it is sent again."""

    type: Literal["message"]
    client_id: ClientId


def _digits(value: object) -> object:
    """Take a number as it stands in an address; one past every `seq` is as good as the largest."""
    if not (isinstance(value, str) and value.isascii() and value.isdecimal()):
        raise ValueError("a number from 0 on")
    return min(int(value[:10]), MAX_SEQ)


class FollowChat(Input):
    """The query of a conversation's WebSocket."""

    after: Annotated[int, BeforeValidator(_digits), Field(ge=0, le=MAX_SEQ)] | None = Field(
        None, description="Replay the messages after this `seq`; without it only new ones come."
    )


class FollowChats(Input):
    """The query of the queue's WebSocket."""

    after: str | None = Field(
        None,
        description="A position: replay the messages written since. The snapshot comes anyway.",
        examples=["84213-1795428000"],
    )


class TypingFrame(Input):
    """Tells the others that one is writing: for 5 seconds, so repeat it every 3 while it is true."""

    type: Literal["typing"]


class ReadFrame(ReadMessages):
    """Everything up to `seq` was read."""

    type: Literal["read"]


ChatFrame: TypeAlias = MessageFrame | TypingFrame | ReadFrame | PingFrame
CLIENT_FRAME: TypeAdapter[ChatFrame] = TypeAdapter(Annotated[ChatFrame, Field(discriminator="type")])


class ReadyFrame(Output):
    """The first frame: you are in. Messages after `last_seq`, or after the `after` you asked for, follow."""

    type: Literal["ready"] = "ready"
    conversation: ConversationOut
    last_seq: int


class NewMessageFrame(MessageOut):
    """A message of either side, one's own included, in the order of `seq`."""

    type: Literal["message"] = "message"


class AckFrame(Output):
    """Your message is stored, under this `seq`."""

    type: Literal["ack"] = "ack"
    client_id: str
    seq: int


class TypingOutFrame(Output):
    """Someone else is writing. Show it for 5 seconds; nothing tells that they stopped."""

    type: Literal["typing"] = "typing"
    user_id: UUID
    side: Side


class ReceiptFrame(Output):
    """A side has read everything up to `seq`."""

    type: Literal["read"] = "read"
    side: Side
    seq: int


class PresenceFrame(Output):
    """Someone else came to the conversation, or left it with their last socket."""

    type: Literal["presence"] = "presence"
    user_id: UUID
    side: Side
    online: bool


class NoteFrame(Output):
    """To the staff: notes were written. `GET /chat/{conversation_id}/notes` has them."""

    type: Literal["note"] = "note"
    conversation_id: UUID
    count: int


class ConversationFrame(Output):
    """The conversation stands differently now."""

    type: Literal["conversation"] = "conversation"
    id: UUID
    status: ConversationStatus
    assigned_to: UUID | None


class AnswerFrame(MessageFrame):
    """Says something in a conversation of the queue; answered by `ack`."""

    conversation_id: UUID


class AnswerTypingFrame(TypingFrame):
    """Tells the others in a conversation that one is writing: for 5 seconds, so repeat it every 3 while it is true."""

    conversation_id: UUID


class AnswerReadFrame(ReadFrame):
    """Everything in a conversation up to `seq` was read."""

    conversation_id: UUID


QueueFrame: TypeAlias = AnswerFrame | AnswerTypingFrame | AnswerReadFrame | PingFrame
QUEUE_FRAME: TypeAdapter[QueueFrame] = TypeAdapter(Annotated[QueueFrame, Field(discriminator="type")])

_POSITION: Final = Field(description="Where to resume: `?after=`.", examples=["84213-1795428000"])


class AssigneeOut(Output):
    """Someone who may answer customers."""

    id: UUID
    name: str | None
    role: str = Field(validation_alias="role_name", examples=["support"])
    shop_ids: list[UUID] = Field(description="The shops they work for.")


class QueuedConversationOut(ListedConversationOut):
    """A conversation of the queue, with names, what was said last, and who is connected to it but for oneself."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    assignee: ParticipantOut | None
    online: list[UUID] = Field(default_factory=list, description="People; the customer is one of them or not.")


class QueueSnapshotFrame(Output):
    """The conversations you may see that are not resolved, at most 500: who waits longest comes first.

    Forget what you knew. It comes first at each connection, and again when your rights or shops change.
    """

    type: Literal["snapshot"] = "snapshot"
    position: str = _POSITION
    conversations: list[QueuedConversationOut]


class QueuedConversationFrame(QueuedConversationOut):
    """A conversation that is new to you or stands differently now, whole."""

    type: Literal["conversation"] = "conversation"
    position: str = _POSITION


class RemovedFrame(Output):
    """A conversation that you may not see any more: assigned to another, or of another shop."""

    type: Literal["removed"] = "removed"
    conversation_id: UUID
    position: str = _POSITION


class QueueMessageFrame(NewMessageFrame):
    """A message of either side, one's own included, in the order of `seq` in each conversation.

    After coming back one may come again: drop those whose `seq` you have.
    """

    position: str = _POSITION


class QueueAckFrame(AckFrame):
    """Your message is stored, under this `seq` of its conversation."""

    conversation_id: UUID


class QueueTypingFrame(TypingOutFrame):
    """Someone else is writing in a conversation. Show it for 5 seconds; nothing tells that they stopped."""

    conversation_id: UUID


class QueuePresenceFrame(PresenceFrame):
    """Someone else came to a conversation, or left it with their last socket."""

    conversation_id: UUID
