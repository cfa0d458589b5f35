"""A little table of the tests' own, with a field of every kind, and its list."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from random import Random
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, ForeignKeyConstraint, Numeric, SmallInteger, and_, insert
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column, relationship

from crema.db.base import new_id
from crema.db.listing import (
    BooleanField,
    ChoiceField,
    InstantField,
    IntegerField,
    JsonMembersField,
    Listing,
    Many,
    MembersField,
    MoneyField,
    NumberField,
    One,
    TextField,
    TimeOfDayField,
    UuidField,
)


class Base(DeclarativeBase):
    """Apart from the app's metadata."""


class Owner(Base):
    __tablename__ = "thing_owners"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    city: Mapped[str | None]


class Mark(Base):
    """What was said of a tag: a list inside a list."""

    __tablename__ = "thing_marks"
    __table_args__ = (ForeignKeyConstraint(["thing_id", "word"], ["thing_tags.thing_id", "thing_tags.word"]),)

    thing_id: Mapped[UUID] = mapped_column(primary_key=True)
    word: Mapped[str] = mapped_column(primary_key=True)
    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str | None]


class Tag(Base):
    __tablename__ = "thing_tags"

    thing_id: Mapped[UUID] = mapped_column(ForeignKey("things.id"), primary_key=True)
    word: Mapped[str] = mapped_column(primary_key=True)
    topic_id: Mapped[UUID]

    marks: Mapped[list[Mark]] = relationship(lazy="raise")


class Thing(Base):
    __tablename__ = "things"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    note: Mapped[str | None]
    kind: Mapped[str]
    price: Mapped[Decimal] = mapped_column(Numeric(16, 2))
    change: Mapped[Decimal] = mapped_column(Numeric(16, 2))
    weight: Mapped[Decimal | None] = mapped_column(Numeric(10, 3))
    stock: Mapped[int | None] = mapped_column(SmallInteger)
    rank: Mapped[int] = mapped_column(SmallInteger)
    is_active: Mapped[bool]
    made_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    gone_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    opens: Mapped[str]
    flags: Mapped[list[str]] = mapped_column(ARRAY(TEXT))
    json_flags: Mapped[list[str] | None] = mapped_column(JSONB(none_as_null=True))
    owner_id: Mapped[UUID | None] = mapped_column(ForeignKey("thing_owners.id"))
    secret: Mapped[str]

    tags: Mapped[list[Tag]] = relationship(lazy="raise")


_Word = aliased(Tag)
FLAGS = ["red", "green", "blue"]
THINGS = Listing(
    name="Thing",
    fields={
        "id": UuidField(Thing.id, indexed=True),
        "name": TextField(Thing.name, indexed=True),
        "note": TextField(Thing.note, nullable=True),
        "kind": ChoiceField(Thing.kind, choices=["drink", "food", "еда"]),
        "price": MoneyField(Thing.price),
        "change": MoneyField(Thing.change, signed=True),
        "weight": NumberField(Thing.weight, nullable=True),
        "stock": IntegerField(Thing.stock, nullable=True),
        "rank": IntegerField(Thing.rank),
        "is_active": BooleanField(Thing.is_active),
        "made_at": InstantField(Thing.made_at),
        "gone_at": InstantField(Thing.gone_at, nullable=True),
        "opens": TimeOfDayField(Thing.opens),
        "flags": MembersField(Thing.flags, choices=FLAGS),
        "json_flags": JsonMembersField(Thing.json_flags, choices=FLAGS),
        "owner_id": UuidField(Thing.owner_id, nullable=True),
        "owner": One(
            Owner,
            Owner.id == Thing.owner_id,
            {"name": TextField(Owner.name), "city": TextField(Owner.city, nullable=True)},
            nullable=True,
        ),
        "tags": Many(
            Tag,
            Tag.thing_id == Thing.id,
            {
                "word": TextField(Tag.word),
                "topic_id": UuidField(Tag.topic_id),
                "marks": Many(
                    Mark,
                    and_(Mark.thing_id == Tag.thing_id, Mark.word == Tag.word),
                    {"level": IntegerField(Mark.level), "text": TextField(Mark.text, nullable=True)},
                ),
            },
        ),
        "words": Many(_Word, _Word.thing_id == Thing.id, TextField(_Word.word, searched=False)),
        "secret": TextField(Thing.secret, permission="things:audit"),
    },
    default_sort="-made_at",
    id_column=Thing.id,
)

NAMES = [
    "Латте", "латте", "ЛАТТЕ макиато", "Ёлка", "елка", "ЕЛКА 100%", "100 елок", "a%b", "a_b", "axb", "A\\b",
    "a\\%b", "", "Flat White", "flat white", "кофе 'Раф'; drop table things--", "{}{0}", "Йогурт", "₽ 🙂", "%", "_",
    "\\",
]  # fmt: skip
TOPICS = [UUID(int=number) for number in range(4)]
OWNERS = {
    id_: {"id": id_, "name": f"Хозяин {number % 3}", "city": [None, "Тверь"][number % 2]}
    for number, id_ in enumerate(TOPICS)
}
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MIDNIGHT = datetime(2026, 11, 23, 21, tzinfo=UTC)
"""In Moscow."""


def _make_marks(pick: Random) -> list[Mark]:
    return [Mark(level=level, text=pick.choice([None, *NAMES])) for level in pick.sample(range(4), pick.randint(0, 2))]


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
            change=pick.choice([Decimal("-20.00"), Decimal("0.00"), Decimal("15.50")]),
            weight=pick.choice([None, Decimal("-0.5"), Decimal("7.5"), Decimal("7.125")]),
            opens=pick.choice(["00:00", "08:00", "08:30", "24:00"]),
            flags=pick.sample(FLAGS, pick.randint(0, 3)),
            json_flags=pick.choice([None, pick.sample(FLAGS, pick.randint(0, 2))]),
            is_active=pick.random() < 0.5,
            made_at=NOON + timedelta(microseconds=pick.randint(0, 9)),
            gone_at=pick.choice([None, NOON, NOON + timedelta(microseconds=1), MIDNIGHT, MIDNIGHT - MICROSECOND]),
            owner_id=pick.choice([None, *TOPICS]),
            secret=pick.choice(["alpha", "beta"]),
        )
        thing.tags = [
            Tag(thing_id=id_, word=word, topic_id=pick.choice(TOPICS), marks=_make_marks(pick)) for word in words
        ]
        things.append(thing)
    pick.shuffle(things)
    return things


async def create_table(connection: AsyncConnection) -> None:
    await connection.run_sync(Base.metadata.create_all)
    await connection.execute(insert(Owner).values([*OWNERS.values()]))


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
