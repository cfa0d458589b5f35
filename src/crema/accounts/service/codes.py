"""One-time codes by mail that confirm an address, or a new password: six digits, and a long one in the same mail.

A code is computed from its row and a key, so that the same code can be mailed again while it lives: whoever asks for
another mail, the owner or a stranger, doesn't make the code worthless that the owner is typing.

How often the six digits may be guessed is counted by the guesser's network: see `count_guess`. Nobody guesses the long
code, so it is always taken, also when strangers have used up the guesses.
"""

import binascii
import hashlib
import hmac
import secrets
from base64 import b32encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, LargeBinary, case, delete, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import ONE_AT_A_TIME, OneTimeCode, User
from crema.accounts.service import throttle
from crema.accounts.service.throttle import TooManyAttemptsError
from crema.core.errors import InvalidError
from crema.db.base import new_id

REGISTRATION: Final = "registration"
EMAIL_CHANGE: Final = "email_change"
RESET: Final = "password_reset"

SHORT_LENGTH: Final = 6
LIFETIME: Final = timedelta(minutes=15)
DAY: Final = timedelta(days=1)
MINUTES: Final = int(LIFETIME.total_seconds() // 60)
TRIES: Final = 5
"""Guesses from one network at the codes of one address: for each mail it asked for, else in a day."""
TRIES_OF_STRANGERS: Final = 25
"""Guesses a day at the codes of one address from all networks together that asked for no mail.

At most ten mails go out while a code lives (two windows of five), and two days meet: it is worth 10 × 5 + 2 × 25 = 100
guesses at a million.
"""
TRIES_PER_NETWORK: Final = 100

NOBODY: Final = UUID(int=0)
"""Stands for a row that isn't there, so that the same statement runs."""

Kind = Literal["verification", "reset"]
"""Codes that are entered at the same route, and so are guessed together."""


class InvalidCodeError(InvalidError):
    """Wrong, expired, used, tried too often, or nobody's: the answer doesn't tell which."""

    code = "invalid_code"
    title = "This code is wrong or no longer valid."
    advice = "Check the newest mail, or ask for another code."


@dataclass(frozen=True, slots=True)
class Issued:
    """A code that lives, and what is needed to mail it."""

    id: UUID
    user_id: UUID
    code: str
    long_code: str

    @property
    def told(self) -> dict[str, str | int]:
        """What a mail says of it."""
        return {"code": self.code, "long_code": self.long_code, "minutes": MINUTES}


@dataclass(frozen=True, slots=True)
class Codes:
    """Computes codes, and the secrets that stand for a registration. What is stored is worthless without the key."""

    key: bytes

    def code_of(self, code_id: UUID, nonce: bytes) -> str:
        """Compute the six digits of a row."""
        digest = hmac.digest(self.key, f"code:{code_id}:{nonce.hex()}".encode(), hashlib.sha256)
        return f"{int.from_bytes(digest[:8]) % 1_000_000:06d}"

    def long_code_of(self, code_id: UUID, nonce: bytes) -> str:
        """Compute the long code of a row, as it is mailed: 80 bits in four groups of letters and digits."""
        digest = hmac.digest(self.key, f"long code:{code_id}:{nonce.hex()}".encode(), hashlib.sha256)
        text = b32encode(digest[:10]).decode()
        return "-".join(text[start : start + 4] for start in range(0, 16, 4))

    def is_code(self, row: OneTimeCode, code: str) -> bool:
        """Whether this is one of the row's two codes; `code` is without spaces and hyphens."""
        of_row = (
            self.long_code_of(row.id, row.nonce).replace("-", "") if is_long(code) else self.code_of(row.id, row.nonce)
        )
        return hmac.compare_digest(of_row, code)

    def issued(self, code_id: UUID, user_id: UUID, nonce: bytes) -> Issued:
        """Give the codes of a row to be mailed."""
        return Issued(code_id, user_id, self.code_of(code_id, nonce), self.long_code_of(code_id, nonce))

    def registration_id(self, code_id: UUID) -> str:
        """Return the secret that stands for an attempt to register."""
        return urlsafe_b64encode(code_id.bytes + self._seal(code_id)).rstrip(b"=").decode()

    def read_registration_id(self, text: str) -> UUID | None:
        """Return the attempt that a registration id stands for; None for one that we didn't make."""
        try:
            content = urlsafe_b64decode(text.encode("ascii") + b"=")
            code_id, seal = UUID(bytes=content[:16]), content[16:]
        except (binascii.Error, ValueError):
            return None
        return code_id if hmac.compare_digest(self._seal(code_id), seal) else None

    def _seal(self, code_id: UUID) -> bytes:
        return hmac.digest(self.key, f"registration:{code_id}".encode(), hashlib.sha256)[:16]

    def new_row(self, *, user_id: UUID, purpose: str, now: datetime, **fields: Any) -> OneTimeCode:
        """Make a row with a code of its own, for the caller to add."""
        times = {"expires_at": now + LIFETIME, "created_at": now}
        return OneTimeCode(id=new_id(), user_id=user_id, purpose=purpose, nonce=_new_nonce(), **times, **fields)

    async def renew(
        self, session: AsyncSession, *, which: ColumnElement[bool], now: datetime, **fields: Any
    ) -> Issued | None:
        """Let an unspent code live for another lifetime; a new code if the old one has expired. None if not there."""
        statement = update(OneTimeCode).where(which, OneTimeCode.spent_at.is_(None)).values(_renewed(now) | fields)
        return await self._issued(session, statement)

    async def extend(self, session: AsyncSession, *, which: ColumnElement[bool], now: datetime) -> None:
        """Keep a code valid that lives, where no more mails may go out: its owner has it in a mail already."""
        lives = (OneTimeCode.spent_at.is_(None), OneTimeCode.expires_at > now)
        await session.execute(update(OneTimeCode).where(which, *lives).values(expires_at=now + LIFETIME))

    async def issue(
        self,
        session: AsyncSession,
        *,
        user: ColumnElement[bool],
        purpose: str,
        now: datetime,
        new_email: str | None = None,
        session_id: UUID | None = None,
    ) -> Issued | None:
        """Make or renew the one code of a purpose for whom `user` selects; None for nobody. One statement either way.

        Another `new_email` than before gets another code.
        """
        fields = {"purpose": purpose, "new_email": new_email, "session_id": session_id}
        values = {"id": new_id(), "nonce": _new_nonce(), "expires_at": now + LIFETIME, "created_at": now} | fields
        columns = {name: OneTimeCode.__table__.c[name] for name in values}
        owner = select(User.id, *(literal(values[name], column.type) for name, column in columns.items())).where(user)
        statement = insert(OneTimeCode).from_select(["user_id", *values], owner)
        is_other = OneTimeCode.new_email.is_distinct_from(new_email)
        statement = statement.on_conflict_do_update(
            index_elements=[OneTimeCode.user_id, OneTimeCode.purpose],
            index_where=ONE_AT_A_TIME,
            set_=_renewed(now, is_other) | {"new_email": new_email, "session_id": session_id},
        )
        return await self._issued(session, statement)

    async def _issued(self, session: AsyncSession, statement: Any) -> Issued | None:
        row = (
            await session.execute(statement.returning(OneTimeCode.id, OneTimeCode.user_id, OneTimeCode.nonce))
        ).one_or_none()
        return None if row is None else self.issued(row.id, row.user_id, row.nonce)


def is_long(code: str) -> bool:
    """Whether this is written as a long code."""
    return len(code) > SHORT_LENGTH


def _new_nonce() -> bytes:
    return secrets.token_bytes(16)


def _renewed(now: datetime, *others: ColumnElement[bool]) -> dict[str, object]:
    is_over = OneTimeCode.expires_at <= now
    for other in others:
        is_over = is_over | other
    nonce = case((is_over, literal(_new_nonce(), LargeBinary)), else_=OneTimeCode.nonce)
    return {"nonce": nonce, "expires_at": now + LIFETIME}


@dataclass(frozen=True, slots=True)
class Guess:
    """A counted guess: what to take back if it was right, and the seconds to wait before comparing."""

    keys: Sequence[str]
    delay: float

    async def forgive(self, session: AsyncSession) -> None:
        """Take the guess back: it was a right one. Before anything is locked, see `throttle`."""
        for key in self.keys:
            await throttle.forgive(session, key=key)


async def count_guess(
    session: AsyncSession, *, kind: Kind, email: str, entered: str, network: str, now: datetime
) -> Guess:
    """Count a guess at the codes of an address; raise InvalidCodeError past a limit. Commit before comparing.

    Long codes are no guesses: they count for the network alone, which is slowed down.

    It counts whatever there is to guess, and the same for addresses that nobody has. A network that asked for a code
    in the last quarter of an hour has its own tries, which nobody else uses up; all others share those of strangers.
    """
    code = f"{kind}:{email.lower()}"
    keys = [f"guess:{network}", f"guess:{code}:{network}", f"guess:{code}:strangers"]
    delay = await throttle.count_or_delay(
        session,
        key=keys[0],
        limit=TRIES_PER_NETWORK,
        window=LIFETIME,
        now=now,
    )
    if is_long(entered):
        return Guess(keys[:1], delay)
    has_asked = await throttle.is_marked(session, key=f"asked:{code}:{network}", now=now)
    try:
        await throttle.count(session, key=keys[1], limit=TRIES, window=LIFETIME if has_asked else DAY, now=now)
        if not has_asked:
            await throttle.count(session, key=keys[2], limit=TRIES_OF_STRANGERS, window=DAY, now=now)
    except TooManyAttemptsError as error:
        raise InvalidCodeError("Six digits were tried too often. Enter the long code of the same mail.") from error
    return Guess(keys[:2] if has_asked else keys, delay)


async def note_asking(session: AsyncSession, *, kind: Kind, email: str, network: str, now: datetime) -> None:
    """Note that this network asked for a mail, which it may, and so has tries of its own, and all of them."""
    code = f"{kind}:{email.lower()}"
    await throttle.mark(session, key=f"asked:{code}:{network}", window=LIFETIME, now=now)
    await throttle.forget(session, key=f"guess:{code}:{network}")


async def spend(session: AsyncSession, *, row: OneTimeCode, now: datetime) -> bool:
    """Use a code up, with its person locked. False if it had been spent before; raise InvalidCodeError if it is gone.

    `row` keeps what it confirms; the database doesn't. The person before the code, as everyone locks: a clean-up that
    deletes them takes their codes along.
    """
    await session.execute(select(User.id).where(User.id == row.user_id).with_for_update())
    is_same = (OneTimeCode.id == row.id, OneTimeCode.nonce == row.nonce)
    spent = await session.scalar(
        update(OneTimeCode)
        .where(*is_same, OneTimeCode.spent_at.is_(None))
        .values(spent_at=now, name=None, phone=None, password_hash=None)
        .returning(OneTimeCode.id),
        execution_options={"synchronize_session": False},
    )
    if spent is not None:
        return True
    if await session.scalar(select(OneTimeCode.id).where(*is_same)) is None:
        raise InvalidCodeError
    return False


async def void(session: AsyncSession, *, user_id: UUID, but: UUID | None = None) -> None:
    """Make all codes of a person worthless, or all but one: what they would confirm is settled or was another's."""
    others = delete(OneTimeCode).where(OneTimeCode.user_id == user_id)
    await session.execute(others if but is None else others.where(OneTimeCode.id != but))
