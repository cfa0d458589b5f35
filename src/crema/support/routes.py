"""HTTP routes of the support chat, for customers and staff."""

from urllib.parse import quote
from uuid import UUID

from fastapi import Request, Response

from crema.accounts.deps import Idempotent, SupportStaff, VerifiedActor
from crema.live import service as live
from crema.live.domain import TICKET_LIFETIME
from crema.live.schemas import TicketOut
from crema.media.deps import UPLOAD_LIMIT, Media, MediaStore
from crema.support import queries
from crema.support.deps import CONVERSATION, AttachmentUpload, RateLimited
from crema.support.queries import ASSIGNEES, CONVERSATIONS, MESSAGES, NOTES
from crema.support.schemas import (
    AssigneeOut,
    AttachmentForm,
    AttachmentOut,
    ChangeConversation,
    ConversationOut,
    ListedConversationOut,
    MessageOut,
    NoteOut,
    OpenConversation,
    ReadMessages,
    SendMessage,
    WriteFirst,
    WriteNote,
)
from crema.support.service import attachments, conversations, first_message
from crema.support.service.attachments import UploadedFile
from crema.web.clock import Now
from crema.web.forms import form_schema
from crema.web.listing import PageOut, listing_parameters, page_out, parse_list_query
from crema.web.problem import error_responses
from crema.web.response_headers import LOCATED
from crema.web.routing import make_router
from crema.web.transaction import Reads, Transaction

router = make_router("Support chat")


@router.post(
    "/chat",
    summary="Open your conversation",
    dependencies=[CONVERSATION.made],
    responses=error_responses(401, 403, 404, 422),
)
async def open_chat(
    tx: Transaction, actor: VerifiedActor, now: Now, _idempotent: Idempotent, body: OpenConversation | None = None
) -> ConversationOut:
    """Returns the customer's only conversation, created at the first call. Link it to an order or a shop."""
    conversation = await conversations.get_or_create_own(tx, actor=actor, wanted=body or OpenConversation(), now=now)
    return ConversationOut.model_validate(conversation)


@router.post(
    "/chat/ticket", status_code=201, summary="Get a ticket for a WebSocket", responses=error_responses(401, 403, 422)
)
async def issue_ticket(tx: Transaction, actor: VerifiedActor, now: Now) -> TicketOut:
    """For the first frame of a WebSocket, `{"type": "auth", "ticket": "…"}`. It is valid once, for 30 seconds."""
    ticket = await live.issue_ticket(tx, actor=actor, now=now)
    return TicketOut(ticket=ticket, expires_in=int(TICKET_LIFETIME.total_seconds()))


@router.get(
    "/chats",
    summary="List conversations",
    openapi_extra=listing_parameters(CONVERSATIONS),
    responses=error_responses(401, 403, 422),
)
async def list_chats(
    request: Request, response: Response, reader: Reads, actor: VerifiedActor
) -> PageOut[ListedConversationOut]:
    """Customers see their own conversation, staff those of their shops. `sort=waiting_since`: longest waiting first.

    `search` looks in messages and, for staff, also in the notes that they may read and in names of customers.
    """
    query = parse_list_query(request, CONVERSATIONS, actor.permissions)
    page = await queries.list_conversations(reader, actor=actor, query=query)
    return page_out(request, response, page, ListedConversationOut.model_validate)


@router.post(
    "/chats",
    status_code=201,
    summary="Write to a customer first",
    dependencies=[RateLimited, CONVERSATION.made],
    responses=LOCATED | error_responses(401, 403, 409, 422, 429),
)
async def write_first(
    body: WriteFirst, response: Response, tx: Transaction, actor: SupportStaff, now: Now, _idempotent: Idempotent
) -> ConversationOut:
    """Adds the message to the customer's only conversation. Staff of a shop can write to people who ordered there."""
    conversation = await first_message.write_first(tx, actor=actor, wanted=body, now=now)
    response.headers["Location"] = f"/chat/{conversation.id}"
    return ConversationOut.model_validate(conversation)


@router.get(
    "/chat/assignees",
    summary="List people who can be assigned",
    openapi_extra=listing_parameters(ASSIGNEES),
    responses=error_responses(401, 403, 422),
)
async def list_assignees(
    request: Request, response: Response, tx: Transaction, actor: SupportStaff
) -> PageOut[AssigneeOut]:
    """The people who may answer customers, as values of `assigned_to`."""
    query = ASSIGNEES.parse(request.query_params.multi_items(), permissions=actor.permissions)
    page = await queries.list_assignees(tx, query=query)
    return page_out(request, response, page, AssigneeOut.model_validate)


@router.get(
    "/chat/{conversation_id}",
    summary="See a conversation",
    dependencies=[CONVERSATION.shown],
    responses=error_responses(401, 403, 404, 422),
)
async def see_chat(conversation_id: UUID, reader: Reads, actor: VerifiedActor) -> ConversationOut:
    return await queries.get_conversation_view(reader, conversation_id=conversation_id, actor=actor)


@router.patch(
    "/chat/{conversation_id}",
    summary="Assign or resolve a conversation",
    dependencies=[CONVERSATION.edited],
    responses=error_responses(401, 403, 404, 409, 422),
)
async def change_chat(
    conversation_id: UUID, body: ChangeConversation, tx: Transaction, actor: SupportStaff, now: Now
) -> ConversationOut:
    """A new message of the customer opens it again. It can't be resolved while there are messages nobody has seen."""
    conversation = await conversations.change(tx, conversation_id=conversation_id, actor=actor, wanted=body, now=now)
    return ConversationOut.model_validate(conversation)


@router.get(
    "/chat/{conversation_id}/messages",
    summary="List a conversation's messages",
    openapi_extra=listing_parameters(MESSAGES),
    responses=error_responses(401, 403, 404, 422),
)
async def list_messages(
    conversation_id: UUID, request: Request, response: Response, reader: Reads, actor: VerifiedActor
) -> PageOut[MessageOut]:
    """Oldest first. `seq__gt` returns the messages after the last one you have."""
    query = parse_list_query(request, MESSAGES, actor.permissions)
    page = await queries.list_messages(reader, conversation_id=conversation_id, actor=actor, query=query)
    return page_out(request, response, page, MessageOut.model_validate)


@router.post(
    "/chat/{conversation_id}/messages",
    status_code=201,
    summary="Send a message",
    dependencies=[RateLimited],
    responses=error_responses(401, 403, 404, 409, 422, 429)
    | {200: {"model": MessageOut, "description": "The message was sent before, with the same `client_id`."}},
)
async def send_message(
    conversation_id: UUID,
    body: SendMessage,
    response: Response,
    tx: Transaction,
    actor: VerifiedActor,
    now: Now,
    _idempotent: Idempotent,
) -> MessageOut:
    """With a `client_id` the request can be repeated: the message is stored once."""
    message, is_new = await conversations.send(tx, conversation_id=conversation_id, actor=actor, wanted=body, now=now)
    response.status_code = 201 if is_new else 200
    return MessageOut.model_validate(message)


@router.post(
    "/chat/{conversation_id}/read",
    summary="Mark messages as read",
    dependencies=[RateLimited, CONVERSATION.made],
    responses=error_responses(401, 403, 404, 422, 429),
)
async def read_messages(
    conversation_id: UUID, body: ReadMessages, tx: Transaction, actor: VerifiedActor, now: Now, _idempotent: Idempotent
) -> ConversationOut:
    """Marks all messages up to `seq` as read, for the customer or for the staff together."""
    conversation = await conversations.mark_read(
        tx, conversation_id=conversation_id, actor=actor, seq=body.seq, now=now
    )
    return ConversationOut.model_validate(conversation)


@router.post(
    "/chat/{conversation_id}/attachments",
    status_code=201,
    summary="Upload an attachment",
    max_body_size=UPLOAD_LIMIT,
    openapi_extra=form_schema(
        AttachmentForm, description="JPEG, PNG, WebP, AVIF, HEIC or PDF; up to 5 MiB, pictures up to 16 megapixels."
    ),
    responses=error_responses(401, 403, 404, 409, 413, 415, 422, 429),
)
async def upload_attachment(
    conversation_id: UUID,
    upload: AttachmentUpload,
    tx: Transaction,
    media: Media,
    actor: VerifiedActor,
    now: Now,
) -> AttachmentOut:
    """Send its id as `attachment_id` of a message within a day. Pictures are converted to WebP without metadata.

    A person may upload 30 files a minute and 100 MiB a day. Ten uploads may wait to be sent.
    """
    new = UploadedFile(upload.file, upload.name)
    attachment = await attachments.upload(tx, media, conversation_id=conversation_id, actor=actor, new=new, now=now)
    return AttachmentOut.model_validate(attachment)


@router.get(
    "/chat/{conversation_id}/attachment/{attachment_id}",
    summary="Fetch an attachment",
    response_class=Response,
    responses={
        200: {"description": "The file.", "content": {attachments.WEBP: {}, attachments.PDF: {}}},
        **error_responses(401, 403, 404, 422),
    },
)
async def fetch_attachment(
    conversation_id: UUID, attachment_id: UUID, tx: Transaction, store: MediaStore, actor: VerifiedActor
) -> Response:
    """Browsers save the file and don't show it."""
    attachment, content = await attachments.fetch(
        tx, store, conversation_id=conversation_id, attachment_id=attachment_id, actor=actor
    )
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(attachment.name, safe='')}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    return Response(content, media_type=attachment.content_type, headers=headers)


@router.post(
    "/chat/{conversation_id}/notes",
    status_code=201,
    summary="Write a note for the staff",
    dependencies=[RateLimited],
    responses=error_responses(401, 403, 404, 409, 422, 429),
)
async def write_note(
    conversation_id: UUID, body: WriteNote, tx: Transaction, actor: SupportStaff, now: Now, _idempotent: Idempotent
) -> NoteOut:
    """The customer never sees it. It belongs to its shop, also when the customer turns to another shop."""
    note = await conversations.add_note(tx, conversation_id=conversation_id, actor=actor, text=body.text, now=now)
    return NoteOut.model_validate(note)


@router.get(
    "/chat/{conversation_id}/notes",
    summary="List the staff's notes",
    openapi_extra=listing_parameters(NOTES),
    responses=error_responses(401, 403, 404, 422),
)
async def list_notes(
    conversation_id: UUID, request: Request, response: Response, tx: Transaction, actor: SupportStaff
) -> PageOut[NoteOut]:
    """Staff see the notes of their shops and their own; staff of the whole chain see all."""
    query = NOTES.parse(request.query_params.multi_items(), permissions=actor.permissions)
    await queries.get_conversation(tx, conversation_id=conversation_id, actor=actor)
    page = await queries.list_notes(tx, conversation_id=conversation_id, actor=actor, query=query)
    return page_out(request, response, page, NoteOut.model_validate)
