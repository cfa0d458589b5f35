"""A little table of the tests' own, with a field of every kind, and its list."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from random import Random
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, ForeignKey, Numeric, SmallInteger, exists
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from crema.db.base import new_id
from crema.db.listing import (
    BooleanField,
    ChoiceField,
    InstantField,
    IntegerField,
    LinkField,
    Listing,
    MoneyField,
    TextField,
    UuidField,
)


class Base(DeclarativeBase):
    """Apart from the app's metadata."""


class Tag(Base):
    __tablename__ = "thing_tags"

    thing_id: Mapped[UUID] = mapped_column(ForeignKey("things.id"), primary_key=True)
    word: Mapped[str] = mapped_column(primary_key=True)
    topic_id: Mapped[UUID]


class Thing(Base):
    __tablename__ = "things"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    note: Mapped[str | None]
    kind: Mapped[str]
    price: Mapped[Decimal] = mapped_column(Numeric(16, 2))
    stock: Mapped[int | None] = mapped_column(SmallInteger)
    rank: Mapped[int] = mapped_column(SmallInteger)
    is_active: Mapped[bool]
    made_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    gone_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    owner_id: Mapped[UUID | None]
    secret: Mapped[str]

    tags: Mapped[list[Tag]] = relationship(lazy="raise")


def _tagged(predicate: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(Tag.thing_id == Thing.id, predicate)


THINGS = Listing(
    fields={
        "id": UuidField(Thing.id),
        "name": TextField(Thing.name),
        "note": TextField(Thing.note, nullable=True),
        "kind": ChoiceField(Thing.kind, choices=["drink", "food", "еда"]),
        "price": MoneyField(Thing.price),
        "stock": IntegerField(Thing.stock, nullable=True),
        "rank": IntegerField(Thing.rank),
        "is_active": BooleanField(Thing.is_active),
        "made_at": InstantField(Thing.made_at),
        "gone_at": InstantField(Thing.gone_at, nullable=True),
        "owner_id": UuidField(Thing.owner_id, nullable=True),
        "tag": LinkField(TextField(Tag.word), _tagged, nullable=True),
        "topic_id": LinkField(UuidField(Tag.topic_id), _tagged),
        "secret": TextField(Thing.secret, permission="things:audit"),
    },
    sort=["id", "name", "kind", "price", "rank", "is_active", "made_at", "secret"],
    default_sort="-made_at",
    search={"name": Thing.name, "note": Thing.note, "secret": Thing.secret},
    id_column=Thing.id,
)

NAMES = [
    "Латте", "латте", "ЛАТТЕ макиато", "Ёлка", "елка", "ЕЛКА 100%", "100 елок", "a%b", "a_b", "axb", "A\\b",
    "a\\%b", "", "Flat White", "flat white", "кофе 'Раф'; drop table things--", "{}{0}", "Йогурт", "₽ 🙂", "%", "_",
    "\\",
]  # fmt: skip
TOPICS = [UUID(int=number) for number in range(4)]
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def make_things(count: int = 60, *, seed: int = 7) -> list[Thing]:
    """Few different values, so that ties are common; instants differ by microseconds."""
    pick = Random(seed)  # noqa: S311 - the same things every time
    things = []
    for number in range(count):
        id_ = new_id()
        words = pick.sample(["Новинка", "новинка", "hit", "sale%"], pick.randint(0, 3))
        thing = Thing(
            id=id_,
            name=NAMES[number % len(NAMES)],
            note=pick.choice([None, *NAMES]),
            kind=pick.choice(["drink", "food", "еда"]),
            price=pick.choice([Decimal("0.00"), Decimal("99.90"), Decimal("250.00"), Decimal("99999999999999.99")]),
            stock=pick.choice([None, -5, 0, 7, 32767]),
            rank=pick.choice([-1, 0, 1]),
            is_active=pick.random() < 0.5,
            made_at=NOON + timedelta(microseconds=pick.randint(0, 9)),
            gone_at=pick.choice([None, NOON, NOON + timedelta(microseconds=1)]),
            owner_id=pick.choice([None, *TOPICS]),
            secret=pick.choice(["alpha", "beta"]),
        )
        thing.tags = [Tag(thing_id=id_, word=word, topic_id=pick.choice(TOPICS)) for word in words]
        things.append(thing)
    pick.shuffle(things)
    return things


async def create_table(connection: AsyncConnection) -> None:
    await connection.run_sync(Base.metadata.create_all)


async def store(session: AsyncSession, things: list[Thing]) -> None:
    session.add_all(things)
    await session.flush()
    session.expunge_all()


def all_pairs(names: list[str]) -> list[str]:
    """Give every sort by two different names, each either way."""
    return [
        f"{a}{first},{b}{second}"
        for first, second in product(names, names)
        if first != second
        for a, b in product(("", "-"), ("", "-"))
    ]
