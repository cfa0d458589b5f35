"""JSON of the support chat."""

from typing import Annotated, Literal, Self, TypeAlias
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, model_validator

from crema.live.schemas import PingFrame
from crema.schemas import Input, Instant, Output, Text, partial
from crema.support.domain import MAX_TEXT, Side, Status

MessageText = Annotated[Text, Field(max_length=MAX_TEXT, examples=["Где мой латте?"])]
ClientId = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,64}$"),
    Field(examples=["01a2074f-26f7"], description="Your name for the message: sending it again stores nothing twice."),
]


class OpenConversation(Input):
    """What the conversation is about, if anything: an order of one's own, or a shop."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{}, {"order_id": "019aaf5e-7c00-7a3b-8f61-2d9c41e0b7a5"}]}
    )

    shop_id: UUID | None = None
    order_id: UUID | None = None


class _Change(Input):
    status: Status
    assigned_to: UUID | None


@partial
class ChangeConversation(_Change):
    """`assigned_to` null gives it back to the queue."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "resolved"}]})


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

    seq: int = Field(strict=True, ge=0, le=2**31 - 1, examples=[12])


class CustomerOut(Output):
    """Whose conversation it is."""

    id: UUID
    name: str | None


class ConversationOut(Output):
    """A conversation. `last_seq` is its newest message's number."""

    id: UUID
    customer: CustomerOut
    shop_id: UUID | None
    order_id: UUID | None
    status: Status
    assigned_to: UUID | None = Field(validation_alias="assigned_to_id")
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

    text: MessageText = Field(min_length=1)


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


class TypingFrame(Input):
    """Tells the others that one is writing."""

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
    """Someone else is writing."""

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
    status: Status
    assigned_to: UUID | None
