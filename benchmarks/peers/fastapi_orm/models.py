"""The tables, as Crema's migrations made them: their indexes are there."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ARRAY, DateTime, ForeignKey, String, and_, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, foreign, mapped_column, relationship


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True), dict[str, Any]: JSONB}


class Category(Base):
    __tablename__ = "categories"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    slug: Mapped[str]
    name: Mapped[str]


class ProductCategory(Base):
    __tablename__ = "product_categories"
    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id"), primary_key=True)
    category_id: Mapped[UUID] = mapped_column(ForeignKey("categories.id"), primary_key=True)


class Ingredient(Base):
    __tablename__ = "ingredients"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]


class ProductIngredient(Base):
    __tablename__ = "product_ingredients"
    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id"), primary_key=True)
    ingredient_id: Mapped[UUID] = mapped_column(ForeignKey("ingredients.id"), primary_key=True)
    position: Mapped[int]


class OptionIngredient(Base):
    __tablename__ = "option_ingredients"
    option_id: Mapped[UUID] = mapped_column(ForeignKey("options.id"), primary_key=True)
    ingredient_id: Mapped[UUID] = mapped_column(ForeignKey("ingredients.id"), primary_key=True)


class Option(Base):
    __tablename__ = "options"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    group_id: Mapped[UUID] = mapped_column(ForeignKey("modifier_groups.id"))
    name: Mapped[str]
    price_delta: Mapped[Decimal]
    max_quantity: Mapped[int]
    is_default: Mapped[bool]
    is_active: Mapped[bool]
    position: Mapped[int]
    allergens: Mapped[list[str]] = mapped_column(ARRAY(String))
    ingredients: Mapped[list[Ingredient]] = relationship(secondary="option_ingredients")


class ModifierGroup(Base):
    __tablename__ = "modifier_groups"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    min_choices: Mapped[int]
    max_choices: Mapped[int]
    free_quantity: Mapped[int]
    options: Mapped[list[Option]] = relationship(order_by=Option.position)


class ProductModifierGroup(Base):
    __tablename__ = "product_modifier_groups"
    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id"), primary_key=True)
    group_id: Mapped[UUID] = mapped_column(ForeignKey("modifier_groups.id"), primary_key=True)
    position: Mapped[int]


class Size(Base):
    __tablename__ = "sizes"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id"))
    name: Mapped[str]
    volume_ml: Mapped[int | None]
    price_delta: Mapped[Decimal]
    is_default: Mapped[bool]
    position: Mapped[int]


class ProductImage(Base):
    __tablename__ = "product_images"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id"))
    key: Mapped[str]
    alt: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    widths: Mapped[list[int]] = mapped_column(ARRAY(String))
    position: Mapped[int]

    @property
    def urls(self) -> dict[str, str]:
        return {str(width): f"/media/{self.key}-{width}.webp" for width in self.widths}


class Product(Base):
    __tablename__ = "products"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    slug: Mapped[str]
    name: Mapped[str]
    description: Mapped[str]
    price: Mapped[Decimal]
    is_active: Mapped[bool]
    position: Mapped[int]
    allergens: Mapped[list[str]] = mapped_column(ARRAY(String))
    nutrition: Mapped[dict[str, Any] | None]
    preparation_seconds: Mapped[int]
    archived_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
    categories: Mapped[list[Category]] = relationship(secondary="product_categories")
    sizes: Mapped[list[Size]] = relationship(order_by=Size.position)
    modifier_groups: Mapped[list[ModifierGroup]] = relationship(
        secondary="product_modifier_groups", order_by=ProductModifierGroup.position
    )
    images: Mapped[list[ProductImage]] = relationship(order_by=ProductImage.position)
    ingredients: Mapped[list[Ingredient]] = relationship(
        secondary="product_ingredients", order_by=ProductIngredient.position
    )


class Permission(Base):
    __tablename__ = "permissions"
    code: Mapped[str] = mapped_column(primary_key=True)


class RolePermission(Base):
    __tablename__ = "role_permissions"
    role_id: Mapped[UUID] = mapped_column(ForeignKey("roles.id"), primary_key=True)
    permission_code: Mapped[str] = mapped_column(ForeignKey("permissions.code"), primary_key=True)


class Role(Base):
    __tablename__ = "roles"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    permissions: Mapped[list[Permission]] = relationship(secondary="role_permissions", order_by=Permission.code)


class StaffShop(Base):
    __tablename__ = "staff_shops"
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shops.id"), primary_key=True)


class User(Base):
    __tablename__ = "users"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str | None]
    name: Mapped[str | None]
    phone: Mapped[str | None]
    role_id: Mapped[UUID] = mapped_column(ForeignKey("roles.id"))
    is_active: Mapped[bool]
    verified_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    role: Mapped[Role] = relationship()
    staff_shops: Mapped[list[StaffShop]] = relationship(order_by=StaffShop.shop_id)

    @property
    def role_name(self) -> str:
        return self.role.name

    @property
    def permissions(self) -> list[str]:
        return [each.code for each in self.role.permissions]

    @property
    def shop_ids(self) -> list[UUID]:
        return [each.shop_id for each in self.staff_shops]

    @property
    def is_verified(self) -> bool:
        return self.verified_at is not None


class OpeningInterval(Base):
    __tablename__ = "opening_intervals"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shops.id"))
    weekday: Mapped[int]
    opens_minute: Mapped[int]
    closes_minute: Mapped[int]


class Shop(Base):
    __tablename__ = "shops"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    slug: Mapped[str]
    name: Mapped[str]
    address: Mapped[str]
    latitude: Mapped[Decimal | None]
    longitude: Mapped[Decimal | None]
    phone: Mapped[str | None]
    timezone: Mapped[str]
    is_active: Mapped[bool]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    hours: Mapped[list[OpeningInterval]] = relationship(
        order_by=(OpeningInterval.weekday, OpeningInterval.opens_minute)
    )


class Cart(Base):
    __tablename__ = "carts"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    items: Mapped[list["CartItem"]] = relationship(cascade="all, delete-orphan")


class CartItem(Base):
    __tablename__ = "cart_items"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    cart_id: Mapped[UUID] = mapped_column(ForeignKey("carts.id"))
    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id"))
    size_id: Mapped[UUID | None]
    options: Mapped[list[Any]] = mapped_column(JSONB, default=list)
    note: Mapped[str] = mapped_column(default="")
    quantity: Mapped[int]
    configuration: Mapped[str]


class OrderNumberCounter(Base):
    __tablename__ = "order_number_counters"
    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shops.id"), primary_key=True)
    business_date: Mapped[date] = mapped_column(primary_key=True)
    last: Mapped[int]


class OrderLine(Base):
    __tablename__ = "order_lines"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"))
    position: Mapped[int]
    product_id: Mapped[UUID]
    name: Mapped[str]
    size: Mapped[dict[str, Any] | None]
    options: Mapped[list[Any]] = mapped_column(JSONB, default=list)
    note: Mapped[str] = mapped_column(default="")
    quantity: Mapped[int]
    contents: Mapped[dict[str, Any] | None]
    is_made: Mapped[bool] = mapped_column(default=False)
    unit_price: Mapped[Decimal]
    total: Mapped[Decimal]


class OrderEvent(Base):
    __tablename__ = "order_events"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"))
    from_status: Mapped[str | None]
    status: Mapped[str]
    actor_id: Mapped[UUID | None]
    actor_role: Mapped[str]
    reason: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    number: Mapped[str]
    business_date: Mapped[date]
    status: Mapped[str] = mapped_column(default="placed")
    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shops.id"))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    pickup_at: Mapped[datetime | None]
    ready_estimate_at: Mapped[datetime]
    comment: Mapped[str] = mapped_column(default="")
    payment_method: Mapped[str] = mapped_column(default="on_pickup")
    payment_status: Mapped[str] = mapped_column(default="pending")
    subtotal: Mapped[Decimal]
    discount: Mapped[Decimal] = mapped_column(default=Decimal(0))
    total: Mapped[Decimal]
    currency: Mapped[str] = mapped_column(default="RUB")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    shop: Mapped[Shop] = relationship()
    customer: Mapped[User | None] = relationship()
    lines: Mapped[list[OrderLine]] = relationship(order_by=OrderLine.position)
    history: Mapped[list[OrderEvent]] = relationship(order_by=OrderEvent.id)


class Mail(Base):
    __tablename__ = "mails"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    recipient: Mapped[str]
    template: Mapped[str]
    language: Mapped[str] = mapped_column(default="ru")
    context: Mapped[dict[str, Any]]


class Attachment(Base):
    __tablename__ = "attachments"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    content_type: Mapped[str]
    size: Mapped[int]


class Message(Base):
    __tablename__ = "messages"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id"))
    seq: Mapped[int]
    client_id: Mapped[str]
    author_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    author_role: Mapped[str]
    text: Mapped[str]
    attachment_id: Mapped[UUID | None] = mapped_column(ForeignKey("attachments.id"))
    created_at: Mapped[datetime]
    author: Mapped[User] = relationship()
    attachment: Mapped[Attachment | None] = relationship()


class Conversation(Base):
    __tablename__ = "conversations"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    shop_id: Mapped[UUID | None]
    order_id: Mapped[UUID | None]
    status: Mapped[str]
    assigned_to_id: Mapped[UUID | None]
    waiting_since: Mapped[datetime | None]
    last_seq: Mapped[int]
    customer_read_seq: Mapped[int]
    staff_read_seq: Mapped[int]
    unread_by_customer: Mapped[int]
    unread_by_staff: Mapped[int]
    last_message_at: Mapped[datetime]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    customer: Mapped[User] = relationship()
    last_message: Mapped[Message | None] = relationship(
        primaryjoin=lambda: and_(
            foreign(Message.conversation_id) == Conversation.id, Message.seq == Conversation.last_seq
        ),
        viewonly=True,
    )
