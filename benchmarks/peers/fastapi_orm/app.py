"""What a café's developer would write after the tutorials: async ORM, selectinload, response_model, fastapi-pagination."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi_pagination import Page, add_pagination
from fastapi_pagination.ext.sqlalchemy import apaginate
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ARRAY, DateTime, ForeignKey, String, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

engine = create_async_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"), pool_size=10)
SessionLocal = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


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
    nutrition: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    preparation_seconds: Mapped[int]
    archived_at: Mapped[datetime | None]
    categories: Mapped[list[Category]] = relationship(secondary="product_categories")
    sizes: Mapped[list[Size]] = relationship(order_by=Size.position)
    modifier_groups: Mapped[list[ModifierGroup]] = relationship(
        secondary="product_modifier_groups", order_by=ProductModifierGroup.position
    )
    images: Mapped[list[ProductImage]] = relationship(order_by=ProductImage.position)
    ingredients: Mapped[list[Ingredient]] = relationship(
        secondary="product_ingredients", order_by=ProductIngredient.position
    )


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


async def get_session() -> AsyncIterator[AsyncSession]:
    async with SessionLocal() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_session)]
app = FastAPI()
WHOLE = (
    selectinload(Product.categories),
    selectinload(Product.sizes),
    selectinload(Product.images),
    selectinload(Product.ingredients),
    selectinload(Product.modifier_groups).selectinload(ModifierGroup.options).selectinload(Option.ingredients),
)


@app.get("/products", response_model=Page[ProductOut])
async def list_products(
    session: SessionDep,
    category_id: UUID | None = None,
    price__lte: Decimal | None = None,
    search: str | None = None,
    sort: str = "position",
) -> Any:
    statement = select(Product).where(Product.archived_at.is_(None), Product.is_active).options(*WHOLE)
    if category_id is not None:
        statement = statement.where(Product.categories.any(Category.id == category_id))
    if price__lte is not None:
        statement = statement.where(Product.price <= price__lte)
    if search:
        statement = statement.where(Product.name.icontains(search) | Product.description.icontains(search))
    column = getattr(Product, sort.lstrip("-"))
    return await apaginate(session, statement.order_by(column.desc() if sort.startswith("-") else column, Product.id))


@app.get("/product/{product_id}", response_model=ProductOut)
async def get_product(product_id: UUID, session: SessionDep) -> Any:
    product = await session.scalar(
        select(Product).where(Product.id == product_id, Product.archived_at.is_(None)).options(*WHOLE)
    )
    if product is None:
        raise HTTPException(404)
    return product


@app.get("/menu", response_model=list[ProductOut])
async def list_all(session: SessionDep) -> Any:
    statement = select(Product).where(Product.archived_at.is_(None), Product.is_active).options(*WHOLE)
    return (await session.scalars(statement.order_by(Product.position, Product.id))).all()


class Cart(Base):
    __tablename__ = "carts"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[UUID]
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
    product: Mapped[Product] = relationship()


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    number: Mapped[str]
    business_date: Mapped[date]
    status: Mapped[str] = mapped_column(default="placed")
    shop_id: Mapped[UUID]
    user_id: Mapped[UUID]
    ready_estimate_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    payment_method: Mapped[str] = mapped_column(default="on_pickup")
    subtotal: Mapped[Decimal]
    total: Mapped[Decimal]
    currency: Mapped[str] = mapped_column(default="RUB")
    lines: Mapped[list["OrderLine"]] = relationship(order_by="OrderLine.position")


class OrderLine(Base):
    __tablename__ = "order_lines"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"))
    position: Mapped[int]
    product_id: Mapped[UUID]
    name: Mapped[str]
    options: Mapped[list[Any]] = mapped_column(JSONB, default=list)
    quantity: Mapped[int]
    unit_price: Mapped[Decimal]
    total: Mapped[Decimal]


class AddItem(BaseModel):
    product_id: UUID
    quantity: int = 1


class CartItemOut(Out):
    id: UUID
    product_id: UUID
    quantity: int
    product: ProductOut


class CartOut(Out):
    id: UUID
    items: list[CartItemOut]


@app.post("/cart", response_model=CartOut)
async def add_to_cart(body: AddItem, session: SessionDep, x_user: Annotated[UUID, Header()]) -> Any:
    """The user's id comes as a header: this peer does without authentication."""
    loaded = selectinload(Cart.items).selectinload(CartItem.product).options(*WHOLE)
    statement = select(Cart).where(Cart.user_id == x_user).options(loaded).execution_options(populate_existing=True)
    cart = await session.scalar(statement)
    if cart is None:
        cart = Cart(user_id=x_user, items=[])
        session.add(cart)
    product = await session.get(Product, body.product_id)
    if product is None:
        raise HTTPException(404)
    item = next((each for each in cart.items if each.product_id == body.product_id), None)
    if item:
        item.quantity = min(50, item.quantity + body.quantity)
    else:
        cart.items.append(CartItem(product_id=product.id, quantity=body.quantity, configuration=product.id.hex))
    await session.commit()
    return await session.scalar(statement)


class OrderEvent(Base):
    __tablename__ = "order_events"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"))
    status: Mapped[str]
    actor_role: Mapped[str]


class Mail(Base):
    __tablename__ = "mails"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    recipient: Mapped[str]
    template: Mapped[str]
    language: Mapped[str] = mapped_column(default="ru")
    context: Mapped[dict[str, Any]] = mapped_column(JSONB)


class PlaceOrder(BaseModel):
    shop_id: UUID
    items: list[AddItem]


class LineOut(Out):
    id: UUID
    product_id: UUID
    name: str
    quantity: int
    unit_price: Decimal
    total: Decimal


class OrderOut(Out):
    id: UUID
    number: str
    status: str
    total: Decimal
    lines: list[LineOut]


@app.post("/order", response_model=OrderOut, status_code=201)
async def place_order(body: PlaceOrder, session: SessionDep, x_user: Annotated[UUID, Header()]) -> Any:
    """Price, order, lines, history and mails; no slots, limits or idempotency."""
    lines = []
    for position, wanted in enumerate(body.items):
        product = await session.scalar(select(Product).where(Product.id == wanted.product_id).options(*WHOLE))
        if product is None:
            raise HTTPException(404)
        lines.append(
            OrderLine(
                position=position,
                product_id=product.id,
                name=product.name,
                quantity=wanted.quantity,
                unit_price=product.price,
                total=product.price * wanted.quantity,
            )
        )
    total = sum((line.total for line in lines), Decimal(0))
    order = Order(
        id=uuid4(),
        number=uuid4().hex[:12],
        business_date=datetime.now(UTC).date(),
        shop_id=body.shop_id,
        user_id=x_user,
        ready_estimate_at=datetime.now(UTC),
        subtotal=total,
        total=total,
        lines=lines,
    )
    session.add(order)
    await session.flush()
    session.add(OrderEvent(order_id=order.id, status="placed", actor_role="user"))
    session.add_all(Mail(recipient=f"{to}@example.com", template="order_placed", context={}) for to in ("me", "shop"))
    await session.commit()
    return await session.scalar(
        select(Order)
        .where(Order.id == order.id)
        .options(selectinload(Order.lines))
        .execution_options(populate_existing=True)
    )


add_pagination(app)
