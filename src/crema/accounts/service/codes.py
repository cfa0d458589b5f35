"""One-time codes: six digits by mail that confirm an address, or a new password."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.models import OneTimeCode, User
from crema.accounts.service import throttle
from crema.core.errors import InvalidError
from crema.db.session import keep

LIFETIME: Final = timedelta(minutes=15)
MAX_LIVE: Final = 5
"""How many codes of one purpose a person may have at once: with their tries, 25 guesses at a million."""
TRIES_PER_NETWORK: Final = 100
TRY_WINDOW: Final = timedelta(minutes=15)


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
        live = select(func.count()).where(
            OneTimeCode.user_id == user_id, OneTimeCode.purpose == purpose, OneTimeCode.expires_at > now
        )
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

    async def match(
        self, session: AsyncSession, *, among: ColumnElement[bool], code: str, network: str, now: datetime
    ) -> OneTimeCode:
        """Find the live code that was entered, `among` those of an address; raise InvalidCodeError.

        The try is counted, on every one of them, and kept before anything is compared: parallel guesses get no
        more than MAX_TRIES comparisons of a code, and a refusal doesn't give the try back. Holds no connection
        when it returns; `spend` what it found.
        """
        await throttle.count(session, key=_key(network), limit=TRIES_PER_NETWORK, window=TRY_WINDOW, now=now)
        live = select(OneTimeCode.id).where(
            among, OneTimeCode.expires_at > now, OneTimeCode.tries < OneTimeCode.MAX_TRIES
        )
        locked = (await session.scalars(live.order_by(OneTimeCode.id).with_for_update(of=OneTimeCode))).all()
        tried = await session.scalars(
            update(OneTimeCode)
            .where(OneTimeCode.id.in_(locked))
            .values(tries=OneTimeCode.tries + 1)
            .returning(OneTimeCode)
        )
        candidates = tried.all()
        await keep(session)

        found = [
            candidate
            for candidate in candidates
            if hmac.compare_digest(candidate.code_hash, self._hash(candidate.user_id, candidate.purpose, code))
        ]
        if not found:
            raise InvalidCodeError
        return max(found, key=lambda candidate: candidate.id)

    def _hash(self, user_id: UUID, purpose: str, code: str) -> bytes:
        return hmac.digest(self.key, f"{user_id}:{purpose}:{code}".encode(), hashlib.sha256)


async def spend(session: AsyncSession, *, found: OneTimeCode, network: str) -> None:
    """Use a code up, with its person locked; raise InvalidCodeError if someone was quicker.

    The person before the code, as everyone locks: a clean-up that deletes them takes their codes along. And before
    both the counter, as `match` does.
    """
    await throttle.forgive(session, key=_key(network))
    await session.execute(select(User.id).where(User.id == found.user_id).with_for_update())
    if await session.scalar(delete(OneTimeCode).where(OneTimeCode.id == found.id).returning(OneTimeCode.id)) is None:
        raise InvalidCodeError


async def void(session: AsyncSession, *, user_id: UUID) -> None:
    """Make all codes of a person worthless: what they would confirm is settled, or was somebody else's wish."""
    await session.execute(delete(OneTimeCode).where(OneTimeCode.user_id == user_id))


def _key(network: str) -> str:
    return f"code:{network}"
