"""Logging in and staying logged in: sessions, access tokens, and a chain of refresh tokens for each session."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NoReturn
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.domain import Actor
from crema.accounts.models import RefreshToken, Session, User
from crema.accounts.service import throttle
from crema.accounts.service.passwords import Turn
from crema.accounts.service.registration import Origin, list_attempts
from crema.accounts.service.tokens import PAIR_LENGTH, AccessTokens
from crema.core.errors import ForbiddenError, NotFoundError, UnauthenticatedError
from crema.db.audit import add_security_event
from crema.db.session import keep
from crema.notifications import service as notifications
from crema.notifications.service import OutgoingMail

GRACE: Final = timedelta(seconds=10)
"""How long a spent refresh token gets its successor even though that is in use: tabs that refresh side by side."""
TRY_WINDOW: Final = timedelta(minutes=15)
TRIES: Final = 5
"""Wrong passwords for one address from one network. Another network may still log in: no lock-out at will."""


class InvalidCredentialsError(UnauthenticatedError):
    """Unknown address, wrong password, or blocked: the answer doesn't tell which."""

    code = "invalid_credentials"
    title = "The e-mail address or the password is wrong."
    advice = "Check both, or set a new password by `POST /password/forgot`."


class InvalidRefreshTokenError(UnauthenticatedError):
    """None of ours, or its login is over."""

    code = "invalid_refresh_token"
    title = "The refresh token is not valid, or its login has ended."
    advice = "Log in again."


class RefreshTokenReusedError(UnauthenticatedError):
    """Spent, and what it was spent for is in use: somebody else has it too. The login has been ended."""

    code = "refresh_token_reused"
    title = "This refresh token was used before, so its login has been ended."
    advice = "Log in again."


class EmailNotVerifiedError(ForbiddenError):
    """The address has to be verified first."""

    code = "email_not_verified"
    title = "Your e-mail address is not verified."
    advice = "Verify it with the code from the mail, or ask for another code."


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login gives. `expires_in` is in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int
    user: User


@dataclass(frozen=True, slots=True)
class Logins:
    """Issues tokens.

    A refresh token's successor is derived from it, so that the same one can be given again although only hashes
    are stored.
    """

    refresh_key: bytes
    lifetime: timedelta
    access_tokens: AccessTokens
    tries_per_network: int

    async def log_in(
        self,
        session: AsyncSession,
        *,
        email: str,
        password: str,
        origin: Origin,
        turn: Turn,
        now: datetime,
    ) -> Tokens:
        """Check the password and start a session. The try is counted, and kept, before anything is compared.

        Past the tries of a network a right password still passes, after a wait of some seconds.
        """
        passwords = turn.passwords
        network, account = f"login:{origin.network}", f"login:{origin.network}:{email.lower()}"
        delay = await throttle.count_or_delay(
            session, key=network, limit=self.tries_per_network, window=TRY_WINDOW, now=now
        )
        await throttle.count(session, key=account, limit=TRIES, window=TRY_WINDOW, now=now)
        user = await queries.find_user_by_email(session, email)
        is_claimed = user is not None and user.is_active and not user.is_verified
        attempts = await list_attempts(session, email) if is_claimed else []
        checked_hash = user.password_hash if user else None
        hashes = [attempt.password_hash for attempt in attempts] or [checked_hash]  # any of them may be theirs
        await keep(session)
        await turn.pause(delay)

        is_right = any([await passwords.verify(each, password) for each in hashes])
        if user is None or not is_right or not user.is_active:
            await _refuse(session, user=user, now=now)

        await throttle.forgive(session, key=network)
        await throttle.forget(session, key=account)
        if checked_hash is None or not user.is_verified:
            await keep(session)
            raise EmailNotVerifiedError
        renewed_hash = checked_hash
        if passwords.is_outdated(checked_hash):
            await keep(session)
            renewed_hash = await passwords.hash(password)
        current = await _lock_unchanged(session, user=user, checked_hash=checked_hash, now=now)
        current.password_hash = renewed_hash
        return await self.start(session, user=current, origin=origin, now=now)

    async def start(self, session: AsyncSession, *, user: User, origin: Origin, now: datetime) -> Tokens:
        """Start a session without asking for a password."""
        login = Session(
            user_id=user.id,
            user_agent=origin.user_agent,
            network=origin.network,
            created_at=now,
            last_used_at=now,
            expires_at=now + self.lifetime,
        )
        session.add(login)
        await session.flush()
        refresh_token = secrets.token_urlsafe(32)
        session.add(RefreshToken(token_hash=_hash(refresh_token), session_id=login.id, created_at=now))
        add_security_event(session, "login", user_id=user.id, now=now, session_id=str(login.id))
        await session.flush()
        return self._tokens(user, login.id, refresh_token, now)

    async def refresh(self, session: AsyncSession, *, refresh_token: str, now: datetime) -> Tokens:
        """Spend a refresh token for the next pair.

        One guarded statement spends it, so that of parallel callers one makes the successor and the others get
        the same. The same is given again, however late, until somebody uses it: the answer may have been lost. Shown
        after that and after the grace, the token is taken for stolen: the whole session ends.

        A thief and the owner may so come to hold the same successor. Whoever of them uses it first makes the other's
        next call with the older token end the session.
        """
        live = select(Session.id).where(queries.is_live(now))
        session_id = await session.scalar(
            update(RefreshToken)
            .where(
                RefreshToken.token_hash == _hash(refresh_token),
                RefreshToken.used_at.is_(None),
                RefreshToken.session_id.in_(live),
            )
            .values(used_at=now)
            .returning(RefreshToken.session_id)
        )
        successor = self._successor(refresh_token)
        if session_id is not None:
            session.add(RefreshToken(token_hash=_hash(successor), session_id=session_id, created_at=now))
            used = update(Session).where(Session.id == session_id)
            await session.execute(used.values(last_used_at=now, unused_pair=_pair(successor)))
        else:
            session_id = await self._session_of_spent(session, refresh_token=refresh_token, now=now)
        user_id = await session.scalar(
            select(User.id)
            .join(Session, Session.user_id == User.id)
            .where(Session.id == session_id, User.is_active, User.deleted_at.is_(None))
        )
        if user_id is None or session_id is None:
            raise InvalidRefreshTokenError
        user = await queries.get_user(session, user_id)
        return self._tokens(user, session_id, successor, now)

    async def _session_of_spent(self, session: AsyncSession, *, refresh_token: str, now: datetime) -> UUID:
        """Return whose spent token this is, if its successor may be given again; else end that session for good."""
        spent = await session.get(RefreshToken, _hash(refresh_token))
        login = await session.get(Session, spent.session_id) if spent else None
        if spent is None or login is None or login.ended_at or login.expires_at <= now:
            raise InvalidRefreshTokenError
        is_unused = login.unused_pair == _pair(self._successor(refresh_token))
        if is_unused or (spent.used_at is not None and now - spent.used_at <= GRACE):
            return login.id
        ended = await end_sessions(session, user_id=login.user_id, only=[login.id], reason="reuse", now=now)
        user = await queries.get_user(session, login.user_id)
        if ended and user.email:
            await notifications.send(
                session, [OutgoingMail(user.email, "session_revoked", user.language, {"name": user.name})]
            )
        await keep(session)
        raise RefreshTokenReusedError

    def _tokens(self, user: User, session_id: UUID, refresh_token: str, now: datetime) -> Tokens:
        return Tokens(
            access_token=self.access_tokens.sign(
                user_id=user.id, session_id=session_id, pair=_pair(refresh_token), now=now
            ),
            refresh_token=refresh_token,
            expires_in=int(self.access_tokens.lifetime.total_seconds()),
            user=user,
        )

    def _successor(self, refresh_token: str) -> str:
        digest = hmac.digest(self.refresh_key, refresh_token.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


async def _lock_unchanged(session: AsyncSession, *, user: User, checked_hash: str, now: datetime) -> User:
    """Return the user, locked; refuse a login whose password was changed meanwhile, or its owner blocked."""
    current = await queries.find_user_for_update(session, user.id)
    if current is None or current.password_hash != checked_hash or not current.is_active:
        await _refuse(session, user=user, now=now)
    return current


async def _refuse(session: AsyncSession, *, user: User | None, now: datetime) -> NoReturn:
    """Refuse a login, and keep that it was tried: for an address nobody has as for any other."""
    add_security_event(session, "login_failed", user_id=user.id if user else None, now=now, is_by_them=False)
    await keep(session)
    raise InvalidCredentialsError


def _hash(token: str) -> bytes:
    """Hash a token that is random enough to need no salt."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _pair(refresh_token: str) -> str:
    """Name a refresh token and the access tokens that are given with it."""
    return _hash(refresh_token).hex()[:PAIR_LENGTH]


async def note_use(session: AsyncSession, *, session_id: UUID, pair: str) -> None:
    """Note that the answer of the last refresh has arrived: its token is not given out a second time."""
    await session.execute(
        update(Session).where(Session.id == session_id, Session.unused_pair == pair).values(unused_pair=None)
    )


async def end_sessions(
    session: AsyncSession,
    *,
    user_id: UUID,
    reason: str,
    now: datetime,
    only: Sequence[UUID] | None = None,
    but: UUID | None = None,
) -> int:
    """End a person's logins: all, only some, or all but one. It counts at their next request."""
    ending = update(Session).where(Session.user_id == user_id, Session.ended_at.is_(None))
    if only is not None:
        ending = ending.where(Session.id.in_(only))
    if but is not None:
        ending = ending.where(Session.id != but)
    found = await session.scalars(ending.values(ended_at=now, end_reason=reason).returning(Session.id))
    ended = [str(session_id) for session_id in found]
    if ended:
        add_security_event(
            session, "logins_ended", user_id=user_id, now=now, is_by_them=False, reason=reason, session_ids=ended
        )
    return len(ended)


async def log_out(
    session: AsyncSession, *, named: Collection[tuple[UUID, UUID]], refresh_tokens: Sequence[str], now: datetime
) -> None:
    """End the logins in `named`, each a person and a session, and those that the refresh tokens are or were of."""
    ending = set(named)
    if refresh_tokens:
        hashes = [_hash(token) for token in refresh_tokens]
        of_tokens = select(Session.user_id, Session.id).join(RefreshToken, RefreshToken.session_id == Session.id)
        found = await session.execute(of_tokens.where(RefreshToken.token_hash.in_(hashes)))
        ending.update((user_id, session_id) for user_id, session_id in found)
    for user_id, session_id in sorted(ending):
        await end_sessions(session, user_id=user_id, only=[session_id], reason="logout", now=now)


async def end_one(session: AsyncSession, *, actor: Actor, session_id: UUID, now: datetime) -> None:
    """End one of one's own logins."""
    if not await end_sessions(session, user_id=actor.user_id, only=[session_id], reason="logout", now=now):
        raise NotFoundError
