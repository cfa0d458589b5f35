"""Access tokens: short-lived JWTs that contain only the ids of a person and a login."""

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
"""Characters at the start of `jti` that are the pair id: the refresh token of the same response has it, too."""
LEEWAY_SECONDS: Final = 5
MAX_CACHED: Final = 4_096
"""Tokens whose signature is not verified again, about a kilobyte each. Verifying takes as long as a query."""


class InvalidTokenError(UnauthenticatedError):
    """The access token is forged or expired, or its login has ended: the response doesn't say which."""

    code = "invalid_token"
    title = "The access token is wrong, or no longer valid."
    advice = "Get another one by `POST /refresh`, or log in again."


class AccessClaims(NamedTuple):
    """The claims of an access token. `expires` is in seconds since 1970."""

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
        """Return a token that is valid until `now` plus the lifetime. `pair` is the pair id of its refresh token."""
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
        """Return the claims of a token; raise InvalidTokenError if its signature is wrong or it has expired."""
        claims = _decode(token, self.key)
        # The clock is a parameter everywhere, so times are compared here, not by the library.
        if claims.expires + LEEWAY_SECONDS < now.timestamp():
            raise InvalidTokenError
        return claims

    def read_expired(self, token: str) -> AccessClaims:
        """Return the claims of a token with a valid signature, expired or not. Use it only to log out."""
        return _decode(token, self.key)


@lru_cache(MAX_CACHED)
def _decode(token: str, key: bytes) -> AccessClaims:
    """Return the claims of a token with a valid signature. Results are cached without end, since they don't change."""
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
