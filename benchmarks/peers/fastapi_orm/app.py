"""What a good developer writes in an afternoon with FastAPI and the async ORM of SQLAlchemy.

As their documentation shows: a session a request, selectinload of what the answer shows, response_model,
fastapi-pagination, tokens read by PyJWT as in FastAPI's tutorial. Prices are plain look-ups, uvicorn runs on uvloop, the
tables have their indexes. It does without limits, idempotency, log fields, filters on every field and the like.
"""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from fastapi.security import OAuth2PasswordBearer
from fastapi_pagination import Page, add_pagination
from fastapi_pagination.ext.sqlalchemy import apaginate
from models import (
    Cart,
    CartItem,
    Category,
    Conversation,
    Mail,
    Message,
    ModifierGroup,
    Option,
    Order,
    OrderEvent,
    OrderLine,
    OrderNumberCounter,
    Product,
    Role,
    Shop,
    User,
)
from schemas import (
    AddItem,
    CartOut,
    ConversationOut,
    MessageOut,
    OrderOut,
    PlacedOut,
    PlaceOrder,
    ProductOut,
    ShopOut,
    UserOut,
)
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import joinedload, selectinload

engine = create_async_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"), pool_size=10)
SessionLocal = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


async def get_session() -> AsyncIterator[AsyncSession]:
    async with SessionLocal() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_session)]


async def get_user_id(token: Annotated[str, Depends(OAuth2PasswordBearer(tokenUrl="token"))]) -> UUID:
    try:
        return UUID(jwt.decode(token, os.environ["SECRET_KEY"], algorithms=["HS256"])["sub"])
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error


UserIdDep = Annotated[UUID, Depends(get_user_id)]


async def get_current_user(user_id: UserIdDep, session: SessionDep) -> User:
    user = await session.get(User, user_id, options=[joinedload(User.role)])
    if user is None or not user.is_active:
        raise HTTPException(401)
    return user


UserDep = Annotated[User, Depends(get_current_user)]


def get_current_admin(user: UserDep) -> User:
    if user.role.name != "admin":
        raise HTTPException(403)
    return user


AdminDep = Annotated[User, Depends(get_current_admin)]


# The menu

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
async def list_all(
    session: SessionDep, response: Response, if_none_match: Annotated[str | None, Header()] = None
) -> Any:
    changed = await session.scalar(select(func.max(Product.updated_at)))
    response.headers["ETag"] = etag = f'"{changed}"'
    if if_none_match == etag:
        return Response(status_code=304, headers={"ETag": etag})
    statement = select(Product).where(Product.archived_at.is_(None), Product.is_active).options(*WHOLE)
    return (await session.scalars(statement.order_by(Product.position, Product.id))).all()


# People and shops

PERSON = (joinedload(User.role).selectinload(Role.permissions), selectinload(User.staff_shops))


@app.get("/me", response_model=UserOut)
async def me(user_id: UserIdDep, session: SessionDep) -> Any:
    user = await session.get(User, user_id, options=PERSON)
    if user is None or not user.is_active:
        raise HTTPException(401)
    return user


@app.get("/users", response_model=Page[UserOut])
async def list_users(session: SessionDep, admin: AdminDep) -> Any:
    statement = select(User).where(User.deleted_at.is_(None)).options(*PERSON)
    return await apaginate(session, statement.order_by(User.created_at.desc(), User.id.desc()))


def is_open(shop: Shop) -> bool:
    now = datetime.now(ZoneInfo(shop.timezone))
    minute = now.weekday() * 1440 + now.hour * 60 + now.minute
    return any(
        (minute - each.weekday * 1440 - each.opens_minute) % 10080 < each.closes_minute - each.opens_minute
        for each in shop.hours
    )


@app.get("/shop/{shop_id}", response_model=ShopOut)
async def get_shop(shop_id: UUID, session: SessionDep) -> Any:
    shop = await session.get(Shop, shop_id, options=[selectinload(Shop.hours)])
    if shop is None:
        raise HTTPException(404)
    shop.is_open = is_open(shop)
    return shop


# The cart


async def priced(session: AsyncSession, ids: list[UUID]) -> dict[UUID, Any]:
    rows = await session.execute(select(Product.id, Product.name, Product.price).where(Product.id.in_(ids)))
    return {row.id: row for row in rows}


@app.post("/cart", response_model=CartOut)
async def add_to_cart(body: AddItem, session: SessionDep, user: UserDep) -> Any:
    cart = await session.scalar(select(Cart).where(Cart.user_id == user.id).options(selectinload(Cart.items)))
    if cart is None:
        cart = Cart(user_id=user.id, items=[])
        session.add(cart)
    item = next((each for each in cart.items if each.product_id == body.product_id), None)
    if item:
        item.quantity = min(50, item.quantity + body.quantity)
    else:
        item = CartItem(product_id=body.product_id, quantity=body.quantity, configuration=body.product_id.hex)
        cart.items.append(item)
    products = await priced(session, [each.product_id for each in cart.items])
    if body.product_id not in products:
        raise HTTPException(404)
    await session.commit()
    items = [
        {
            "id": each.id,
            "product_id": each.product_id,
            "name": products[each.product_id].name,
            "quantity": each.quantity,
            "unit_price": products[each.product_id].price,
            "total": products[each.product_id].price * each.quantity,
        }
        for each in cart.items
    ]
    return {"id": cart.id, "items": items, "total": sum(each["total"] for each in items)}


# Orders

ORDER = (
    joinedload(Order.shop),
    joinedload(Order.customer),
    selectinload(Order.lines),
    selectinload(Order.history),
)


@app.post("/order", response_model=PlacedOut, status_code=201)
async def place_order(body: PlaceOrder, session: SessionDep, user: UserDep) -> Any:
    """Price, number, order, lines, history and one row for what follows; no slots, limits or idempotency."""
    shop = await session.get(Shop, body.shop_id)
    products = await priced(session, [each.product_id for each in body.items])
    if shop is None or any(each.product_id not in products for each in body.items):
        raise HTTPException(404)
    today = datetime.now(ZoneInfo(shop.timezone)).date()
    counter = insert(OrderNumberCounter).values(shop_id=shop.id, business_date=today, last=1)
    counter = counter.on_conflict_do_update(
        index_elements=["shop_id", "business_date"], set_={"last": OrderNumberCounter.last + 1}
    )
    number = await session.scalar(counter.returning(OrderNumberCounter.last))
    lines = [
        OrderLine(
            position=position,
            product_id=each.product_id,
            name=products[each.product_id].name,
            quantity=each.quantity,
            unit_price=products[each.product_id].price,
            total=products[each.product_id].price * each.quantity,
        )
        for position, each in enumerate(body.items)
    ]
    total = sum((line.total for line in lines), Decimal(0))
    now = datetime.now(UTC)
    order = Order(
        number=f"P-{number}",
        business_date=today,
        shop_id=shop.id,
        user_id=user.id,
        ready_estimate_at=now,
        subtotal=total,
        total=total,
        created_at=now,
        updated_at=now,
        lines=lines,
        history=[OrderEvent(status="placed", actor_id=user.id, actor_role=user.role.name)],
    )
    session.add(order)
    session.add(Mail(recipient=user.email, template="order_placed", context={"number": order.number}))
    await session.commit()
    return order


@app.get("/orders", response_model=Page[OrderOut])
async def list_orders(session: SessionDep, user: UserDep) -> Any:
    statement = select(Order).options(*ORDER).order_by(Order.created_at.desc(), Order.id.desc())
    if user.role.name != "admin":
        statement = statement.where(Order.user_id == user.id)
    return await apaginate(session, statement)


@app.get("/order/{order_id}", response_model=OrderOut)
async def get_order(order_id: UUID, session: SessionDep, user: UserDep) -> Any:
    order = await session.scalar(select(Order).where(Order.id == order_id).options(*ORDER))
    if order is None or (user.role.name != "admin" and order.user_id != user.id):
        raise HTTPException(404)
    return order


# The chat


@app.get("/chats", response_model=Page[ConversationOut])
async def list_chats(session: SessionDep, user: AdminDep) -> Any:
    statement = select(Conversation).options(
        joinedload(Conversation.customer), joinedload(Conversation.last_message).joinedload(Message.author)
    )
    return await apaginate(session, statement.order_by(Conversation.last_message_at.desc(), Conversation.id.desc()))


@app.get("/chat/{conversation_id}/messages", response_model=Page[MessageOut])
async def list_messages(conversation_id: UUID, session: SessionDep, user: UserDep) -> Any:
    conversation = await session.get(Conversation, conversation_id)
    if conversation is None or (user.role.name == "user" and conversation.customer_id != user.id):
        raise HTTPException(404)
    statement = select(Message).where(Message.conversation_id == conversation_id)
    statement = statement.options(joinedload(Message.author), joinedload(Message.attachment))
    return await apaginate(session, statement.order_by(Message.seq.desc()))


add_pagination(app)
