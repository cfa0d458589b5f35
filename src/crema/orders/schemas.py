"""JSON of orders."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import MISSING, AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from crema.accounts.domain import Actor
from crema.cart.domain import LineRequest
from crema.cart.schemas import AddToCart, CartOut, ContentsOut, ItemProblemOut
from crema.orders.domain import PICKUP_NAME_LENGTH, OrderRequest, OrderStatus, QuotedOrder, is_staff_of
from crema.schemas import (
    EXAMPLE_ID,
    Amount,
    Flag,
    Input,
    Instant,
    Line,
    MatchesPattern,
    Money,
    Output,
    Replacement,
    SignedAmount,
    Text,
)

Comment = Annotated[Text, Field(max_length=500, examples=["Заберу через пять минут"])]
OrderNumber = Annotated[
    str,
    StringConstraints(strip_whitespace=True),
    AfterValidator(str.upper),
    MatchesPattern(r"^[A-Z]{1,8}-[0-9]{3}$", "send a number as it is called out, such as K-042"),
]
"""As it is called out; people write it in small letters too."""
CustomerName = Annotated[Line, Field(max_length=PICKUP_NAME_LENGTH, examples=["Пётр"])]
QuoteId = Annotated[
    str,
    Field(min_length=1, max_length=1_000),
    MatchesPattern(r"^[A-Za-z0-9_.=-]+$", "send the quote_id of an answer of POST /quote"),
]
Items = Annotated[list[AddToCart], Field(min_length=1, max_length=50)]
Reason = Annotated[Line, Field(max_length=300, examples=["Закончилось овсяное молоко"])]


class QuoteOrder(Input):
    """The order to quote, with the same fields as an order. Without `items`, the cart is quoted."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "shop_id": EXAMPLE_ID,
                    "pickup_at": "2026-11-23T09:30:00Z",
                    "items": [{"product_id": EXAMPLE_ID, "quantity": 1}],
                },
            ]
        }
    )

    shop_id: UUID | None = Field(None, description="May be left out if the cart has a shop, or if there is only one.")
    pickup_at: Instant | None = Field(None, description="null: as soon as possible.")
    pickup_name: CustomerName | None = Field(
        None, description="The name on the cup, which is called out. null: the name of the person who orders."
    )
    comment: Comment = ""
    payment_method: Literal["on_pickup"] = Field("on_pickup", description="Paid at the counter.")
    items: Items | None = None
    expected_total: Money | None = Field(None, description="Refuse with `price_changed` if the total differs.")
    source: Literal["app", "counter"] = Field(
        "app", description="`counter`: staff order for somebody without an account; needs `items`."
    )
    customer_name: CustomerName | None = Field(None, description="With `source: counter`: the name to call.")

    @model_validator(mode="after")
    def _says_who_orders(self) -> Self:
        is_at_counter = self.source == "counter"
        if is_at_counter != (self.customer_name is not None):
            raise ValueError("`customer_name` and `source: counter` go together")
        if is_at_counter and self.pickup_name is not None:
            raise ValueError("an order at the counter is called out by `customer_name`: leave `pickup_name` out")
        if is_at_counter and self.items is None:
            raise ValueError("an order at the counter needs `items`: staff have no cart for it")
        return self

    def as_request(self, lines: Sequence[LineRequest]) -> OrderRequest:
        """Return the domain's request for these lines, which are those of the cart or of `items`."""
        return OrderRequest(
            lines=lines,
            shop_id=self.shop_id,
            source=self.source,
            customer_name=self.customer_name,
            pickup_name=self.pickup_name,
            pickup_at=self.pickup_at,
            comment=self.comment,
            payment_method=self.payment_method,
            expected_total=self.expected_total,
        )


class PlaceOrder(QuoteOrder):
    """The order to place. Without `items`, the cart is ordered and emptied."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"comment": "Заберу через пять минут", "pickup_name": "Аня"},
                {
                    "shop_id": EXAMPLE_ID,
                    "pickup_at": "2026-11-23T09:30:00Z",
                    "items": [{"product_id": EXAMPLE_ID, "quantity": 1}],
                    "expected_total": "250.00",
                },
                {
                    "source": "counter",
                    "customer_name": "Пётр",
                    "shop_id": EXAMPLE_ID,
                    "items": [{"product_id": EXAMPLE_ID}],
                },
            ]
        }
    )

    quote_id: QuoteId | None = Field(
        None,
        description="The quote of the same order. If it no longer holds, the order is refused with `quote_outdated`.",
    )


class ChangeOrder(Input):
    """PATCH. Only the fields that are sent change. `items` are new choices, completed with today's defaults."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "accepted"}, {"comment": "Без крышки"}]})

    pickup_at: Instant | MISSING | None = MISSING
    comment: Comment | MISSING = MISSING
    items: Items | MISSING = MISSING
    status: OrderStatus | MISSING = MISSING
    reason: Reason | MISSING | None = Field(
        MISSING, description="The reason for the `status`, for the history. Required to cancel an order that is ready."
    )


class CancelOrder(Input):
    """The reason, which is required to cancel an order that is ready."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "Не успеваю"}]})

    reason: Reason | None = None


class Arrival(Input):
    """Whether the customer is here or late."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"state": "here"}, {"state": "late", "minutes": 10}]})

    state: Literal["here", "late"]
    minutes: Annotated[int, Field(strict=True, ge=1, le=60)] | None = Field(
        None, description="With `late`: how many minutes after `promised_at` the customer comes."
    )

    @model_validator(mode="after")
    def _says_how_late(self) -> Self:
        if (self.state == "late") != (self.minutes is not None):
            raise ValueError("`minutes` and `state: late` go together")
        return self

    @property
    def delay(self) -> timedelta | None:
        """How late the customer is; None if they are here."""
        return None if self.minutes is None else timedelta(minutes=self.minutes)


class AdvanceOrders(Input):
    """The orders to move, and their new status."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"order_ids": [EXAMPLE_ID], "status": "ready"},
                {"order_ids": [EXAMPLE_ID], "status": "cancelled", "reason": "Отключили свет"},
            ]
        }
    )

    order_ids: list[UUID] = Field(min_length=1, max_length=50)
    status: OrderStatus
    reason: Reason | None = Field(None, description="For the history. Required to cancel an order that is ready.")


class MoveProblemOut(Output):
    """The reason why an order didn't move."""

    code: str = Field(examples=["illegal_transition"])
    title: str
    detail: str


class AdvancedOrderOut(Output):
    """The result for one order."""

    order_id: UUID
    status: OrderStatus | None = Field(description="The status now; null if there is no such order.")
    problem: MoveProblemOut | None = Field(description="null if the order moved, or had that status already.")


class AdvancedOrdersOut(Output):
    """The result for each order, in the order of the request."""

    items: list[AdvancedOrderOut]


class MarkLine(Input):
    """Whether a line is made."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"is_made": True}]})

    is_made: Flag


class SlotSpanOut(Output):
    """A slot of the shop."""

    starts_at: Instant
    ends_at: Instant


class QuoteProblemOut(ItemProblemOut):
    """A reason why a line can't be ordered as it was chosen."""

    line: int = Field(description="The index of the line, from 0.")
    item_id: UUID | None = Field(description="The id of the cart's item, if it is one.")
    product_id: UUID


class OrderCustomerOut(Output):
    """The person who ordered by app. Of a deleted account only the id is left."""

    id: UUID
    name: str | None = Field(examples=["Анна"])
    phone: str | None = Field(examples=["+79161234567"])


class OrderShopOut(Output):
    """The shop where the order is picked up."""

    id: UUID
    name: str
    address: str
    timezone: str


class LineOptionOut(Output):
    """A chosen option as it was sold."""

    option_id: UUID
    name: str
    group: str
    quantity: int
    price_delta: SignedAmount
    price: SignedAmount


class LineSizeOut(Output):
    """The size as it was sold."""

    id: UUID
    name: str
    volume_ml: int | None


class OrderLineOut(Output):
    """A line with copies of names and prices, which later changes of the menu don't affect."""

    id: UUID = Field(description="Editing the items gives the lines new ids.")
    product_id: UUID
    name: str
    size: LineSizeOut | None
    options: list[LineOptionOut]
    note: str
    quantity: int
    contents: ContentsOut | None = Field(
        description="Allergens, ingredients and nutrition of one, made as it was chosen, as the menu said when it was "
        "sold; null for lines from before that was noted."
    )
    is_made: bool = Field(description="Whether the line is made. The order's status doesn't follow from it.")
    unit_price: Amount
    total: Amount


class QuoteLineOut(Output):
    """A line as it would be sold."""

    product_id: UUID
    name: str
    size: LineSizeOut | None
    options: list[LineOptionOut]
    note: str
    quantity: int
    contents: ContentsOut = Field(description="What one piece contains as it was chosen.")
    unit_price: Amount
    total: Amount


class QuoteOut(Output):
    """What an order would cost and when it would be ready. Nothing is reserved."""

    quote_id: str | None = Field(
        description="Send it with one order; null if the order can't be placed: see `problems`."
    )
    expires_at: Instant | None = Field(description="Until then the total and the time hold.")
    shop_id: UUID
    pickup_at: Instant | None
    promised_at: Instant | None = Field(description="When it is ready at the latest; null if nothing can be sold.")
    slot: SlotSpanOut | None = Field(description="The slot of `promised_at`.")
    lines: list[QuoteLineOut] = Field(description="The lines that can be sold.")
    subtotal: Amount
    discount: Amount
    total: Amount
    currency: str
    problems: list[QuoteProblemOut]

    @classmethod
    def of(cls, quoted: QuotedOrder, *, key: bytes) -> Self:
        """Return a quote as it is shown, signed with the key."""
        quote = quoted.quote
        return cls.model_validate(
            {
                "quote_id": quote and quote.sign(key),
                "expires_at": quote and quote.expires_at,
                "shop_id": quoted.shop_id,
                "pickup_at": quoted.pickup_at,
                "promised_at": quoted.promised_at,
                "slot": quoted.slot,
                "lines": quoted.lines,
                "subtotal": quoted.total,
                "discount": Decimal(0),
                "total": quoted.total,
                "currency": quoted.currency,
                "problems": quoted.problems,
            }
        )


PaymentStatus = Literal["pending", "paid", "refunded", "cancelled"]
Source = Literal["app", "counter"]


class PaymentOut(Output):
    """The method and the status of the payment."""

    method: Literal["on_pickup"]
    status: PaymentStatus


class ActorOut(Output):
    """The person who moved or edited the order."""

    id: UUID
    role: str


class OrderChangeOut(Output):
    """A field that an edit changed."""

    field: str = Field(
        examples=["pickup_at"],
        description="`pickup_at`, `number`, `comment`, `items`, `total`, `start_at` or `is_hidden`.",
    )
    before: bool | str | list[str] | None
    after: bool | str | list[str] | None


class OrderEventOut(Output):
    """A move or an edit of an order. `actor` is null for the system.

    An edit keeps the status and lists its `changes`; a move has no `changes`.
    """

    status: OrderStatus
    from_status: OrderStatus | None
    actor: ActorOut | None
    reason: str | None
    changes: Annotated[list[OrderChangeOut], BeforeValidator(lambda changes: changes or [])]
    created_at: Instant


class OrderOut(Output):
    """A whole order."""

    id: UUID
    number: str = Field(
        examples=["A-042"],
        description="What is called out: of the day of pick-up, and no other order in progress at the shop has it. "
        "It changes only if the order moves to a day where it is taken.",
    )
    status: OrderStatus
    shop: OrderShopOut
    source: Source = Field(description="`app`, or `counter` if staff took the order.")
    user_id: UUID | None = Field(description="null for orders taken at the counter.")
    customer_name: str | None = Field(description="The name to call, for orders taken at the counter; erased later.")
    pickup_name: str | None = Field(
        examples=["Анна"], description="The name to call; null if the person has no name, or their account was deleted."
    )
    customer: OrderCustomerOut | None = Field(
        description="The person who ordered, for staff of the shop; null for others, and for orders at the counter."
    )
    pickup_at: Instant | None
    is_asap: bool
    promised_at: Instant = Field(description="The time by which the order is promised to be ready.")
    start_at: Instant = Field(description="When it has to be begun to be ready by then. Boards are sorted by it.")
    ready_estimate_at: Instant = Field(description="The same as `promised_at`.")
    lines: list[OrderLineOut]
    subtotal: Amount
    discount: Amount
    total: Amount
    currency: str
    comment: str
    payment: PaymentOut
    promo_code: str | None = None
    is_hidden: bool = Field(description="Whether an administrator has hidden it from everybody else's lists.")
    created_at: Instant
    updated_at: Instant
    history: list[OrderEventOut]

    @classmethod
    def seen_by(cls, actor: Actor, order: object) -> Self:
        """Return an order, which is loaded whole, as this actor sees it."""
        shown = cls.model_validate(order)
        return shown if is_staff_of(actor, shown.shop.id) else shown.without_customer()

    def without_customer(self) -> Self:
        """Return the order as people see it who aren't staff of the shop."""
        return self.model_copy(update={"customer": None})


class ReplaceOrder(Replacement):
    """PUT. The owner sends `items`, `pickup_at` and `comment`; staff send `status`, and `pickup_at` to move it.

    Or both send the order as GET gives it, with changes in the fields that they may change; `lines` stay unless `items`
    are sent.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"pickup_at": None, "comment": "", "items": [{"product_id": EXAMPLE_ID}]},
                {"status": "accepted"},
            ]
        }
    )

    shows = OrderOut
    ignored = frozenset(
        {
            "updated_at",
            "history",
            "ready_estimate_at",
            "promised_at",
            "start_at",
            "payment",
            "is_asap",
            "customer",
            "number",
        }
    )

    pickup_at: Instant | None = None
    comment: Comment | None = None
    items: Items | None = None
    status: OrderStatus | None = None


class SkippedOut(Output):
    """Pieces of a line that couldn't be put into the cart again."""

    line: int = Field(description="The index of the order's line, from 0.")
    name: str
    quantity: int = Field(description="How many pieces were left out.")
    reason: str = Field(description="The text of the first of `problems`.")
    problems: list[ItemProblemOut] = Field(description="All problems of the line, or the limit of the cart.")


class ReorderOut(Output):
    """The cart after reordering, and what was left out."""

    cart: CartOut
    skipped: list[SkippedOut]


class FollowOrders(Input):
    """The query of the live WebSocket."""

    shop_id: UUID | None = Field(None, description="Only orders of this shop.")
    after: str | None = Field(None, description="The position to resume from.", examples=["84213-1795428000"])


class SnapshotFrame(Output):
    """The orders in progress, at most 500, by `start_at` and then `id`. It replaces all that was sent before."""

    type: Literal["snapshot"] = "snapshot"
    position: str = Field(
        description="The position from which to resume, with `?after=`.", examples=["84213-1795428000"]
    )
    orders: list[OrderOut]


class ChangedOrderFrame(Output):
    """A whole order that is new or has changed.

    Its place on the board is by `start_at`, compared as a time, then `id`: an order that was moved or edited
    may have another place than before. An order that is over leaves it; one that staff take back to `ready` returns.
    """

    type: Literal["order"] = "order"
    position: str = Field(
        description="The position from which to resume, with `?after=`.", examples=["84213-1795428000"]
    )
    order: OrderOut
