"""One-time codes by mail that confirm an address or a new password: six digits, and a long code in the same mail.

A code is computed from its row and a key, so that the same code can be mailed again while it is valid. A request for
another mail, by the owner or by somebody else, doesn't make the code invalid that the owner is typing.

Guesses at the six digits are limited for each network: see `count_guess`. The long code can't be guessed, so it is
accepted also when others have used up the guesses.
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
"""Guesses from one network at the codes of one address: per mail that it requested, otherwise per day."""
TRIES_OF_OTHER_NETWORKS: Final = 25
"""Guesses per day at the codes of one address from all networks together that requested no mail.

While a code is valid at most ten mails are sent (two windows of five), and it may be valid on two days. So there are at
most 10 × 5 + 2 × 25 = 100 guesses at a million codes.
"""
TRIES_PER_NETWORK: Final = 100

MISSING_ID: Final = UUID(int=0)
"""The id of no row: a statement with it finds nothing, but takes the same time as any other."""

CodeKind = Literal["verification", "reset"]
"""Codes of one kind are entered at the same route, so guesses at them are counted together."""


class InvalidCodeError(InvalidError):
    """The code is wrong, expired, used or tried too often, or was sent to nobody: the response doesn't say which."""

    code = "invalid_code"
    title = "This code is wrong or no longer valid."
    advice = "Check the newest mail, or ask for another code."


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """A valid code and what is needed to mail it."""

    id: UUID
    user_id: UUID
    code: str
    long_code: str

    @property
    def mail_context(self) -> dict[str, str | int]:
        """Return the part of a mail's context that is about the code."""
        return {"code": self.code, "long_code": self.long_code, "minutes": MINUTES}


@dataclass(frozen=True, slots=True)
class Codes:
    """Computes codes, and the secrets that name a registration. Without the key, stored rows reveal neither."""

    key: bytes

    def short_code_of(self, code_id: UUID, nonce: bytes) -> str:
        """Return the six digits of a row."""
        digest = hmac.digest(self.key, f"code:{code_id}:{nonce.hex()}".encode(), hashlib.sha256)
        return f"{int.from_bytes(digest[:8]) % 1_000_000:06d}"

    def long_code_of(self, code_id: UUID, nonce: bytes) -> str:
        """Return the long code of a row, as it is mailed: 80 bits in four groups of letters and digits."""
        digest = hmac.digest(self.key, f"long code:{code_id}:{nonce.hex()}".encode(), hashlib.sha256)
        text = b32encode(digest[:10]).decode()
        return "-".join(text[start : start + 4] for start in range(0, 16, 4))

    def matches(self, row: OneTimeCode, code: str) -> bool:
        """Return whether this is one of the row's two codes; `code` is without spaces and hyphens."""
        of_row = (
            self.long_code_of(row.id, row.nonce).replace("-", "")
            if is_long(code)
            else self.short_code_of(row.id, row.nonce)
        )
        return hmac.compare_digest(of_row, code)

    def issued_codes(self, code_id: UUID, user_id: UUID, nonce: bytes) -> IssuedCode:
        """Return both codes of a row, to be mailed."""
        return IssuedCode(code_id, user_id, self.short_code_of(code_id, nonce), self.long_code_of(code_id, nonce))

    def registration_id(self, code_id: UUID) -> str:
        """Return the secret that names a registration attempt."""
        return urlsafe_b64encode(code_id.bytes + self._signature(code_id)).rstrip(b"=").decode()

    def read_registration_id(self, text: str) -> UUID | None:
        """Return the row of a registration attempt that the secret names; None for a forged one."""
        try:
            content = urlsafe_b64decode(text.encode("ascii") + b"=")
            code_id, signature = UUID(bytes=content[:16]), content[16:]
        except (binascii.Error, ValueError):
            return None
        return code_id if hmac.compare_digest(self._signature(code_id), signature) else None

    def _signature(self, code_id: UUID) -> bytes:
        return hmac.digest(self.key, f"registration:{code_id}".encode(), hashlib.sha256)[:16]

    def new_row(self, *, user_id: UUID, purpose: str, now: datetime, **fields: Any) -> OneTimeCode:
        """Return a row with a new code. The caller adds it to the session."""
        times = {"expires_at": now + LIFETIME, "created_at": now}
        return OneTimeCode(id=new_id(), user_id=user_id, purpose=purpose, nonce=_new_nonce(), **times, **fields)

    async def renew(
        self, session: AsyncSession, *, which: ColumnElement[bool], now: datetime, **fields: Any
    ) -> IssuedCode | None:
        """Make an unused code valid for another lifetime, and replace it if it has expired; None if there is none."""
        statement = (
            update(OneTimeCode).where(which, OneTimeCode.spent_at.is_(None)).values(_renewed_values(now) | fields)
        )
        return await self._execute_issuing(session, statement)

    async def extend(self, session: AsyncSession, *, which: ColumnElement[bool], now: datetime) -> None:
        """Make a valid code last longer without another mail: the owner has one with this code."""
        is_valid = (OneTimeCode.spent_at.is_(None), OneTimeCode.expires_at > now)
        await session.execute(update(OneTimeCode).where(which, *is_valid).values(expires_at=now + LIFETIME))

    async def issue(
        self,
        session: AsyncSession,
        *,
        user: ColumnElement[bool],
        purpose: str,
        now: datetime,
        new_email: str | None = None,
        session_id: UUID | None = None,
    ) -> IssuedCode | None:
        """Create or renew the only code of a purpose for the person that `user` selects; None if it selects nobody.

        It is one statement in every case. A `new_email` that differs from the one before gets another code.
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
            set_=_renewed_values(now, is_other) | {"new_email": new_email, "session_id": session_id},
        )
        return await self._execute_issuing(session, statement)

    async def _execute_issuing(self, session: AsyncSession, statement: Any) -> IssuedCode | None:
        row = (
            await session.execute(statement.returning(OneTimeCode.id, OneTimeCode.user_id, OneTimeCode.nonce))
        ).one_or_none()
        return None if row is None else self.issued_codes(row.id, row.user_id, row.nonce)


def is_long(code: str) -> bool:
    """Return whether this is written as a long code."""
    return len(code) > SHORT_LENGTH


def _new_nonce() -> bytes:
    return secrets.token_bytes(16)


def _renewed_values(now: datetime, *others: ColumnElement[bool]) -> dict[str, object]:
    is_over = OneTimeCode.expires_at <= now
    for other in others:
        is_over = is_over | other
    nonce = case((is_over, literal(_new_nonce(), LargeBinary)), else_=OneTimeCode.nonce)
    return {"nonce": nonce, "expires_at": now + LIFETIME}


@dataclass(frozen=True, slots=True)
class CountedGuess:
    """A guess that was counted: the keys of its counters, and the seconds to wait before the codes are compared."""

    keys: Sequence[str]
    delay: float

    async def refund(self, session: AsyncSession) -> None:
        """Take the guess off its counters, because it was right. Call it before anything is locked, see `throttle`."""
        for key in self.keys:
            await throttle.refund(session, key=key)


async def count_guess(
    session: AsyncSession, *, kind: CodeKind, email: str, entered: str, network: str, now: datetime
) -> CountedGuess:
    """Count a guess at the codes of an address; raise InvalidCodeError past a limit. Commit before comparing.

    Guesses are counted in the same way for addresses that have no code or no account. A network that requested a code
    in the last 15 minutes has tries of its own, which nobody else uses up; all other networks share theirs.

    A long code can't be guessed: it counts only for the network, whose requests are then delayed.
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
        return CountedGuess(keys[:1], delay)
    has_asked = await throttle.is_marked(session, key=f"asked:{code}:{network}", now=now)
    try:
        await throttle.count(session, key=keys[1], limit=TRIES, window=LIFETIME if has_asked else DAY, now=now)
        if not has_asked:
            await throttle.count(session, key=keys[2], limit=TRIES_OF_OTHER_NETWORKS, window=DAY, now=now)
    except TooManyAttemptsError as error:
        raise InvalidCodeError("Six digits were tried too often. Send the long code of the same mail.") from error
    return CountedGuess(keys[:2] if has_asked else keys, delay)


async def record_code_request(
    session: AsyncSession, *, kind: CodeKind, email: str, network: str, now: datetime
) -> None:
    """Record that this network requested a mail, so that it has tries of its own, and reset their count."""
    code = f"{kind}:{email.lower()}"
    await throttle.mark(session, key=f"asked:{code}:{network}", window=LIFETIME, now=now)
    await throttle.reset(session, key=f"guess:{code}:{network}")


async def consume(session: AsyncSession, *, row: OneTimeCode, now: datetime) -> bool:
    """Mark a code as used; return False if it was used before. Raise InvalidCodeError if it was deleted or replaced.

    The person is locked before the code, in the order of all locks: the clean-up deletes people with their codes.
    What the code confirms is deleted from the database, but stays in `row`.
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


async def revoke_all(session: AsyncSession, *, user_id: UUID, except_id: UUID | None = None) -> None:
    """Delete all codes of a person, or all but one, so that they confirm nothing any more."""
    others = delete(OneTimeCode).where(OneTimeCode.user_id == user_id)
    await session.execute(others if except_id is None else others.where(OneTimeCode.id != except_id))
