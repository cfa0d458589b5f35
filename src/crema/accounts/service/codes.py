"""One-time codes: six digits by mail that confirm an address, or a new password."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import OneTimeCode, User
from crema.core.errors import InvalidError
from crema.db.session import keep

LIFETIME: Final = timedelta(minutes=15)
MAX_LIVE: Final = 5
"""How many codes of one purpose a person may have at once: with their tries, 25 guesses at a million."""


class InvalidCodeError(InvalidError):
    """Wrong, expired, used, tried too often, or nobody's: the answer doesn't tell which."""

    code = "invalid_code"
    title = "This code is not valid, or no longer."


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a code will confirm."""

    name: str | None = None
    phone: str | None = None
    password_hash: str | None = None
    new_email: str | None = None


@dataclass(frozen=True, slots=True)
class Codes:
    """Makes and checks codes; stored ones are worthless without the key."""

    key: bytes

    async def issue(
        self, session: AsyncSession, *, user_id: UUID, purpose: str, attempt: Attempt, now: datetime
    ) -> str | None:
        """Make a code; None when this person has enough live ones."""
        live = select(func.count()).where(*_live(user_id, purpose, now))
        if (await session.scalar(live) or 0) >= MAX_LIVE:
            return None
        code = f"{secrets.randbelow(1_000_000):06d}"
        session.add(
            OneTimeCode(
                user_id=user_id,
                purpose=purpose,
                code_hash=self._hash(user_id, purpose, code),
                expires_at=now + LIFETIME,
                created_at=now,
                name=attempt.name,
                phone=attempt.phone,
                password_hash=attempt.password_hash,
                new_email=attempt.new_email,
            )
        )
        await session.flush()
        return code

    async def redeem(
        self, session: AsyncSession, *, user_id: UUID, purpose: str, code: str, now: datetime
    ) -> Attempt:
        """Use a code up and return what it confirms; raise InvalidCodeError.

        The try is counted, on every live code, and kept before anything is compared: parallel guesses get no
        more than MAX_TRIES comparisons of one code, and a refusal doesn't give the try back.
        """
        tried = await session.execute(
            update(OneTimeCode)
            .where(*_live(user_id, purpose, now), OneTimeCode.tries < OneTimeCode.MAX_TRIES)
            .values(tries=OneTimeCode.tries + 1)
            .returning(OneTimeCode.id, OneTimeCode.code_hash)
        )
        candidates = tried.all()
        await keep(session)

        # The person first, as everyone locks: a clean-up that deletes them takes their codes along.
        await session.execute(select(User.id).where(User.id == user_id).with_for_update())
        given = self._hash(user_id, purpose, code)
        matching = [row.id for row in candidates if hmac.compare_digest(row.code_hash, given)]

        used = await session.scalar(
            update(OneTimeCode)
            .where(OneTimeCode.id.in_(matching[-1:]), OneTimeCode.used_at.is_(None))
            .values(used_at=now)
            .returning(OneTimeCode)
        )
        if used is None:
            raise InvalidCodeError
        return Attempt(used.name, used.phone, used.password_hash, used.new_email)

    def _hash(self, user_id: UUID, purpose: str, code: str) -> bytes:
        return hmac.digest(self.key, f"{user_id}:{purpose}:{code}".encode(), hashlib.sha256)


def _live(user_id: UUID, purpose: str, now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        OneTimeCode.user_id == user_id,
        OneTimeCode.purpose == purpose,
        OneTimeCode.used_at.is_(None),
        OneTimeCode.expires_at > now,
    )
