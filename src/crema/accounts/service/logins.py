"""Logins: sessions, their access tokens, and the successive refresh tokens of each session."""

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
from crema.accounts.service.passwords import Admission
from crema.accounts.service.registration import Origin, list_attempts
from crema.accounts.service.tokens import PAIR_LENGTH, AccessTokens
from crema.core.errors import ForbiddenError, NotFoundError, UnauthenticatedError
from crema.db.audit import add_security_event
from crema.db.session import commit_now
from crema.notifications import service as notifications
from crema.notifications.service import OutgoingMail

REUSE_GRACE: Final = timedelta(seconds=10)
"""How long a used refresh token still gets its successor after that was used: browser tabs refresh in parallel."""
TRY_WINDOW: Final = timedelta(minutes=15)
TRIES: Final = 5
"""Wrong passwords for one address from one network. Other networks may still log in, so nobody can lock others out."""


class InvalidCredentialsError(UnauthenticatedError):
    """The address is unknown, the password is wrong, or the account is blocked: the response doesn't say which."""

    code = "invalid_credentials"
    title = "The e-mail address or the password is wrong."
    advice = "Check both, or set a new password by `POST /password/forgot`."


class InvalidRefreshTokenError(UnauthenticatedError):
    """The refresh token is forged, or its login is over."""

    code = "invalid_refresh_token"
    title = "The refresh token is not valid, or its login has ended."
    advice = "Log in again."


class RefreshTokenReusedError(UnauthenticatedError):
    """The refresh token was used before, and so was its successor: somebody else has it, too. The login was ended."""

    code = "refresh_token_reused"
    title = "This refresh token was used before, so its login has been ended."
    advice = "Log in again."


class EmailNotVerifiedError(ForbiddenError):
    """The e-mail address of the account has not been verified."""

    code = "email_not_verified"
    title = "Your e-mail address is not verified."
    advice = "Verify it with the code from the mail, or ask for another code."


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a login. `expires_in` is in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int
    user: User


@dataclass(frozen=True, slots=True)
class Logins:
    """Starts sessions and issues tokens.

    A refresh token's successor is computed from it, so that the same one can be issued again although only hashes are
    stored.
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
        admission: Admission,
        now: datetime,
    ) -> Tokens:
        """Check the password and start a session. The try is counted and committed before passwords are compared.

        When a network has used up its tries, a right password still logs in, after a wait of some seconds.
        """
        passwords = admission.passwords
        network, account = f"login:{origin.network}", f"login:{origin.network}:{email.lower()}"
        delay = await throttle.count_or_delay(
            session, key=network, limit=self.tries_per_network, window=TRY_WINDOW, now=now
        )
        await throttle.count(session, key=account, limit=TRIES, window=TRY_WINDOW, now=now)
        user = await queries.find_user_by_email(session, email)
        is_claimed = user is not None and user.is_active and not user.is_verified
        attempts = await list_attempts(session, email) if is_claimed else []
        checked_hash = user.password_hash if user else None
        hashes = [attempt.password_hash for attempt in attempts] or [checked_hash]  # any may be that of the person
        await commit_now(session)
        await admission.pause(delay)

        is_right = any([await passwords.verify(each, password) for each in hashes])
        if user is None or not is_right or not user.is_active:
            await _refuse(session, user=user, now=now)

        await throttle.refund(session, key=network)
        await throttle.reset(session, key=account)
        if checked_hash is None or not user.is_verified:
            await commit_now(session)
            raise EmailNotVerifiedError
        renewed_hash = checked_hash
        if passwords.is_outdated(checked_hash):
            await commit_now(session)
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
        """Use a refresh token up and return the next pair.

        One guarded statement marks it as used: of parallel callers one creates the successor, and the others get the
        same. Because a response may get lost, the same successor is issued again, however late, until it is used.
        After that, and after the grace period, a used token counts as stolen and its session ends.

        So a thief and the owner may hold the same successor. When one of them has used it, the other's next request
        with the older token ends the session.
        """
        live = select(Session.id).where(queries.is_active_session(now))
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
            session_id = await self._session_of_used(session, refresh_token=refresh_token, now=now)
        user_id = await session.scalar(
            select(User.id)
            .join(Session, Session.user_id == User.id)
            .where(Session.id == session_id, User.is_active, User.deleted_at.is_(None))
        )
        if user_id is None or session_id is None:
            raise InvalidRefreshTokenError
        user = await queries.get_user(session, user_id)
        return self._tokens(user, session_id, successor, now)

    async def _session_of_used(self, session: AsyncSession, *, refresh_token: str, now: datetime) -> UUID:
        """Return the session of a used token if its successor may be issued again; else end the session and raise."""
        spent = await session.get(RefreshToken, _hash(refresh_token))
        login = await session.get(Session, spent.session_id) if spent else None
        if spent is None or login is None or login.ended_at or login.expires_at <= now:
            raise InvalidRefreshTokenError
        is_unused = login.unused_pair == _pair(self._successor(refresh_token))
        if is_unused or (spent.used_at is not None and now - spent.used_at <= REUSE_GRACE):
            return login.id
        ended = await end_sessions(session, user_id=login.user_id, only=[login.id], reason="reuse", now=now)
        user = await queries.get_user(session, login.user_id)
        if ended and user.email:
            await notifications.send(
                session, [OutgoingMail(user.email, "session_revoked", user.language, {"name": user.name})]
            )
        await commit_now(session)
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
    """Lock and return the user; refuse the login if the password was changed or the account was blocked meanwhile."""
    current = await queries.find_user_for_update(session, user.id)
    if current is None or current.password_hash != checked_hash or not current.is_active:
        await _refuse(session, user=user, now=now)
    return current


async def _refuse(session: AsyncSession, *, user: User | None, now: datetime) -> NoReturn:
    """Record that a login failed, commit and refuse it. The same is done for addresses without an account."""
    add_security_event(session, "login_failed", user_id=user.id if user else None, now=now, is_by_them=False)
    await commit_now(session)
    raise InvalidCredentialsError


def _hash(token: str) -> bytes:
    """Return the hash of a token. It is random, so it needs no salt."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _pair(refresh_token: str) -> str:
    """Return the pair id of a refresh token: access tokens issued with it have the same."""
    return _hash(refresh_token).hex()[:PAIR_LENGTH]


async def mark_tokens_used(session: AsyncSession, *, session_id: UUID, pair: str) -> None:
    """Record that the tokens of the last refresh have arrived: they are not issued a second time."""
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
    except_id: UUID | None = None,
) -> int:
    """End a person's logins: all, only some, or all but one; return how many. Their next request is refused."""
    ending = update(Session).where(Session.user_id == user_id, Session.ended_at.is_(None))
    if only is not None:
        ending = ending.where(Session.id.in_(only))
    if except_id is not None:
        ending = ending.where(Session.id != except_id)
    found = await session.scalars(ending.values(ended_at=now, end_reason=reason).returning(Session.id))
    ended = [str(session_id) for session_id in found]
    if ended:
        add_security_event(
            session, "logins_ended", user_id=user_id, now=now, is_by_them=False, reason=reason, session_ids=ended
        )
    return len(ended)


async def log_out(
    session: AsyncSession, *, logins: Collection[tuple[UUID, UUID]], refresh_tokens: Sequence[str], now: datetime
) -> None:
    """End these logins, each a pair of user and session id, and those that the refresh tokens belong to."""
    ending = set(logins)
    if refresh_tokens:
        hashes = [_hash(token) for token in refresh_tokens]
        of_tokens = select(Session.user_id, Session.id).join(RefreshToken, RefreshToken.session_id == Session.id)
        found = await session.execute(of_tokens.where(RefreshToken.token_hash.in_(hashes)))
        ending.update((user_id, session_id) for user_id, session_id in found)
    for user_id, session_id in sorted(ending):
        await end_sessions(session, user_id=user_id, only=[session_id], reason="logout", now=now)


async def end_own_session(session: AsyncSession, *, actor: Actor, session_id: UUID, now: datetime) -> None:
    """End one of the actor's logins; raise NotFoundError if they have none with this id."""
    if not await end_sessions(session, user_id=actor.user_id, only=[session_id], reason="logout", now=now):
        raise NotFoundError
