"""The support chat over HTTP, for the customer and for those who answer."""

from uuid import UUID

from fastapi import Request, Response

from crema.accounts.deps import Person, SupportStaff
from crema.live import service as live
from crema.live.domain import TICKET_LIFETIME
from crema.live.schemas import TicketOut
from crema.support import queries, service
from crema.support.queries import CONVERSATIONS, MESSAGES
from crema.support.schemas import (
    ChangeConversation,
    ConversationOut,
    MessageOut,
    OpenConversation,
    ReadMessages,
    SendMessage,
)
from crema.web.clock import Now
from crema.web.listing import PageOut, answer, listing_parameters
from crema.web.problem import refusals
from crema.web.routing import router as new_router
from crema.web.transaction import Transaction

router = new_router("Support chat")


@router.post("/chat", summary="Open one's conversation", responses=refusals(401, 403, 404, 422))
async def open_chat(tx: Transaction, actor: Person, now: Now, body: OpenConversation | None = None) -> ConversationOut:
    """A customer has one conversation for good, made here at the first call. Link it to an order or a shop."""
    conversation = await service.open_own(tx, actor=actor, wanted=body or OpenConversation(), now=now)
    return ConversationOut.model_validate(conversation)


@router.post("/chat/ticket", status_code=201, summary="Get a ticket for a WebSocket", responses=refusals(401, 403, 422))
async def issue_ticket(tx: Transaction, actor: Person, now: Now) -> TicketOut:
    """For the first frame of a WebSocket, `{"type": "auth", "ticket": "…"}`: good once, for 30 seconds."""
    ticket = await live.issue_ticket(tx, actor=actor, now=now)
    return TicketOut(ticket=ticket, expires_in=int(TICKET_LIFETIME.total_seconds()))


@router.get(
    "/chats",
    summary="List conversations",
    openapi_extra=listing_parameters(CONVERSATIONS),
    responses=refusals(401, 403, 422),
)
async def list_chats(request: Request, response: Response, tx: Transaction, actor: Person) -> PageOut[ConversationOut]:
    """One's own; for those who answer, those of their shops. `sort=waiting_since`: who waits longest comes first."""
    query = CONVERSATIONS.parse(request.query_params.multi_items(), permissions=actor.permissions)
    page = await queries.list_conversations(tx, actor=actor, query=query)
    return answer(request, response, page, ConversationOut.model_validate)


@router.get("/chat/{conversation_id}", summary="See a conversation", responses=refusals(401, 403, 404, 422))
async def see_chat(conversation_id: UUID, tx: Transaction, actor: Person) -> ConversationOut:
    conversation = await queries.get_conversation(tx, conversation_id=conversation_id, actor=actor)
    return ConversationOut.model_validate(conversation)


@router.patch(
    "/chat/{conversation_id}", summary="Assign or settle a conversation", responses=refusals(401, 403, 404, 422)
)
async def change_chat(
    conversation_id: UUID, body: ChangeConversation, tx: Transaction, actor: SupportStaff, now: Now
) -> ConversationOut:
    """A new message of the customer opens it again."""
    conversation = await service.change(tx, conversation_id=conversation_id, actor=actor, wanted=body, now=now)
    return ConversationOut.model_validate(conversation)


@router.get(
    "/chat/{conversation_id}/messages",
    summary="List a conversation's messages",
    openapi_extra=listing_parameters(MESSAGES),
    responses=refusals(401, 403, 404, 422),
)
async def list_messages(
    conversation_id: UUID, request: Request, response: Response, tx: Transaction, actor: Person
) -> PageOut[MessageOut]:
    """Oldest first; `seq__gt` gives what came after the last one you have."""
    query = MESSAGES.parse(request.query_params.multi_items(), permissions=actor.permissions)
    await queries.get_conversation(tx, conversation_id=conversation_id, actor=actor)
    page = await queries.list_messages(tx, conversation_id=conversation_id, query=query)
    return answer(request, response, page, MessageOut.model_validate)


@router.post(
    "/chat/{conversation_id}/messages",
    status_code=201,
    summary="Send a message",
    responses=refusals(401, 403, 404, 409, 422)
    | {200: {"model": MessageOut, "description": "It had been sent before, under the same client_id."}},
)
async def send_message(
    conversation_id: UUID, body: SendMessage, response: Response, tx: Transaction, actor: Person, now: Now
) -> MessageOut:
    """Send a `client_id` to repeat safely: the message is stored once."""
    message, is_new = await service.send(tx, conversation_id=conversation_id, actor=actor, wanted=body, now=now)
    response.status_code = 201 if is_new else 200
    return MessageOut.model_validate(message)


@router.post("/chat/{conversation_id}/read", summary="Mark messages as read", responses=refusals(401, 403, 404, 422))
async def read_messages(
    conversation_id: UUID, body: ReadMessages, tx: Transaction, actor: Person, now: Now
) -> ConversationOut:
    """Everything up to `seq`, for one's side: the customer, or the staff together."""
    conversation = await service.read(tx, conversation_id=conversation_id, actor=actor, seq=body.seq, now=now)
    return ConversationOut.model_validate(conversation)
