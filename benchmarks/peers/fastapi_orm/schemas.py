"""The JSON of the answers."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class CategoryOut(Out):
    id: UUID
    slug: str
    name: str


class IngredientOut(Out):
    id: UUID
    name: str


class OptionOut(Out):
    id: UUID
    name: str
    price_delta: Decimal
    max_quantity: int
    is_default: bool
    is_active: bool
    allergens: list[str]
    ingredients: list[IngredientOut]


class GroupOut(Out):
    id: UUID
    name: str
    min_choices: int
    max_choices: int
    free_quantity: int
    options: list[OptionOut]


class SizeOut(Out):
    id: UUID
    name: str
    volume_ml: int | None
    price_delta: Decimal
    is_default: bool


class ImageOut(Out):
    id: UUID
    alt: str
    position: int
    width: int
    height: int
    urls: dict[str, str]


class ProductOut(Out):
    id: UUID
    slug: str
    name: str
    description: str
    price: Decimal
    is_active: bool
    position: int
    categories: list[CategoryOut]
    sizes: list[SizeOut]
    modifier_groups: list[GroupOut]
    images: list[ImageOut]
    allergens: list[str]
    nutrition: dict[str, Any] | None
    ingredients: list[IngredientOut]
    preparation_seconds: int


class UserOut(Out):
    id: UUID
    email: str | None
    name: str | None
    phone: str | None
    role: str = Field(validation_alias="role_name")
    permissions: list[str]
    shop_ids: list[UUID]
    is_verified: bool
    is_active: bool
    created_at: datetime
    updated_at: datetime


class IntervalOut(Out):
    weekday: int
    opens_minute: int
    closes_minute: int


class ShopOut(Out):
    id: UUID
    slug: str
    name: str
    address: str
    latitude: float | None
    longitude: float | None
    phone: str | None
    timezone: str
    hours: list[IntervalOut]
    is_open: bool
    is_active: bool
    created_at: datetime
    updated_at: datetime


class CartItemOut(Out):
    id: UUID
    product_id: UUID
    name: str
    quantity: int
    unit_price: Decimal
    total: Decimal


class CartOut(Out):
    id: UUID
    items: list[CartItemOut]
    total: Decimal


class OrderShopOut(Out):
    id: UUID
    name: str
    address: str
    timezone: str


class OrderCustomerOut(Out):
    id: UUID
    name: str | None
    phone: str | None


class LineOut(Out):
    id: UUID
    product_id: UUID
    name: str
    size: dict[str, Any] | None
    options: list[Any]
    note: str
    quantity: int
    contents: dict[str, Any] | None
    is_made: bool
    unit_price: Decimal
    total: Decimal


class EventOut(Out):
    status: str
    from_status: str | None
    actor_id: UUID | None
    actor_role: str
    reason: str | None
    created_at: datetime


class PlacedOut(Out):
    id: UUID
    number: str
    status: str
    total: Decimal
    lines: list[LineOut]


class OrderOut(PlacedOut):
    shop: OrderShopOut
    user_id: UUID | None
    customer: OrderCustomerOut | None
    pickup_at: datetime | None
    ready_estimate_at: datetime
    subtotal: Decimal
    discount: Decimal
    currency: str
    comment: str
    payment_method: str
    payment_status: str
    created_at: datetime
    updated_at: datetime
    history: list[EventOut]


class PersonOut(Out):
    id: UUID
    name: str | None


class AttachmentOut(Out):
    id: UUID
    name: str
    content_type: str
    size: int


class MessageOut(Out):
    id: UUID
    seq: int
    conversation_id: UUID
    author: PersonOut
    author_role: str
    text: str
    attachment: AttachmentOut | None
    client_id: str
    created_at: datetime


class LastMessageOut(Out):
    author: PersonOut
    text: str
    created_at: datetime


class ConversationOut(Out):
    id: UUID
    customer: PersonOut
    shop_id: UUID | None
    order_id: UUID | None
    status: str
    assigned_to_id: UUID | None
    waiting_since: datetime | None
    last_seq: int
    customer_read_seq: int
    staff_read_seq: int
    unread_by_customer: int
    unread_by_staff: int
    last_message_at: datetime
    created_at: datetime
    updated_at: datetime
    last_message: LastMessageOut | None


class AddItem(BaseModel):
    product_id: UUID
    quantity: int = Field(1, ge=1, le=50)


class PlaceOrder(BaseModel):
    shop_id: UUID
    items: list[AddItem] = Field(min_length=1, max_length=50)
