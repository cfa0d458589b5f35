"""Access tokens: short-lived JWTs that name a person and a login, and promise nothing else."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from uuid import UUID, uuid4

import jwt

from crema.core.errors import UnauthenticatedError

ALGORITHM: Final = "HS256"
TYPE: Final = "at+jwt"
ISSUER: Final = "crema"
AUDIENCE: Final = "crema:api"
REQUIRED: Final = ("exp", "iat", "sub", "sid", "iss", "aud", "jti")
PAIR_LENGTH: Final = 16
"""Characters at the start of `jti` that name the refresh token which the access token came with."""
LEEWAY_SECONDS: Final = 5
KEPT_TOKENS: Final = 4_096
"""Tokens whose signature is not looked at again, about a kilobyte each: it took as long as asking the database."""


class InvalidTokenError(UnauthenticatedError):
    """Forged, expired, of another kind, or its session has ended: the answer doesn't tell which."""

    code = "invalid_token"
    title = "The access token is wrong, or no longer valid."
    advice = "Get another one by `POST /refresh`, or log in again."


class AccessClaims(NamedTuple):
    """What an access token of ours says. `expires` is in seconds since 1970."""

    user_id: UUID
    session_id: UUID
    pair: str
    expires: float


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Signs and reads access tokens with one algorithm and one key."""

    key: bytes
    lifetime: timedelta

    def sign(self, *, user_id: UUID, session_id: UUID, now: datetime, pair: str = "") -> str:
        """Return a token that is good until `now` plus the lifetime. `pair` names the refresh token beside it."""
        claims = {
            "sub": str(user_id),
            "sid": str(session_id),
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + self.lifetime,
            "jti": (pair + uuid4().hex)[: 2 * PAIR_LENGTH],
        }
        return jwt.encode(claims, self.key, ALGORITHM, headers={"typ": TYPE})

    def read(self, token: str, *, now: datetime) -> AccessClaims:
        """Return what the token says; raise InvalidTokenError for anything not signed by us and current."""
        claims = _verified(token, self.key)
        # The clock is a parameter everywhere, so times are compared here, not by the library.
        if claims.expires + LEEWAY_SECONDS < now.timestamp():
            raise InvalidTokenError
        return claims

    def read_expired(self, token: str) -> AccessClaims:
        """Return what a token of ours says, expired or not. Only for logging out: it proves nothing else any more."""
        return _verified(token, self.key)


@lru_cache(KEPT_TOKENS)
def _verified(token: str, key: bytes) -> AccessClaims:
    """Read what a token of ours says, for ever: what was signed once stays signed. Refusals aren't kept."""
    try:
        decoded = jwt.decode_complete(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={"require": list(REQUIRED), "verify_exp": False, "verify_iat": False},
        )
        claims = decoded["payload"]
        if decoded["header"].get("typ") != TYPE:
            raise InvalidTokenError
        return AccessClaims(
            UUID(claims["sub"]), UUID(claims["sid"]), str(claims["jti"])[:PAIR_LENGTH], float(claims["exp"])
        )
    except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError) as error:
        raise InvalidTokenError from error
