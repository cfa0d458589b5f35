"""Access tokens: what we signed just now, and nothing else."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, timedelta
from typing import Any

import httpx2
import jwt
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts.deps import AccountsState
from crema.settings import Settings
from crema.web.state import state_of
from factories.people import sign_in
from fixtures.app import SECRET, Clock, connect

pytestmark = pytest.mark.anyio
TYPED = {"typ": "at+jwt"}


@pytest.fixture
async def good(app: FastAPI, session: AsyncSession) -> str:
    """A token that is good as it is."""
    async with connect(app) as client:
        token: str = (await sign_in(client, session))["access_token"]
    return token


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


async def status(app: FastAPI, token: str) -> int:
    async with connect(app, token) as client:
        return (await client.get("/me")).status_code


async def test_carries_the_promised_claims_and_no_more(good: str, clock: Clock) -> None:
    claims = claims_of(good)

    assert claims.keys() == {"sub", "sid", "iss", "aud", "iat", "exp", "jti"}
    assert claims["exp"] - claims["iat"] == 600
    assert claims["iat"] == clock().astimezone(UTC).timestamp()
    assert jwt.get_unverified_header(good) == {"alg": "HS256", **TYPED}


async def test_is_good_for_ten_minutes(app: FastAPI, good: str, clock: Clock) -> None:
    clock.advance(minutes=10)
    assert await status(app, good) == 200

    clock.advance(seconds=6)
    assert await status(app, good) == 401


@pytest.mark.parametrize("claim", ["exp", "iat", "sub", "sid", "iss", "aud", "jti"])
async def test_t2_refuses_a_token_without_a_claim(app: FastAPI, good: str, claim: str) -> None:
    claims = claims_of(good)
    del claims[claim]

    assert (
        await status(
            app, jwt.encode(claims, state_of(app, AccountsState).logins.access_tokens.key, "HS256", headers=TYPED)
        )
        == 401
    )


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "evil"},
        {"aud": "crema:mail"},
        {"aud": ["crema:api", "evil"], "iss": ["crema"]},
        {"sub": "00000000-0000-7000-8000-000000000000"},
        {"sid": "00000000-0000-7000-8000-000000000000"},
        {"sub": "1"},
        {"sub": None},
        {"sid": 1},
        {"sid": "' OR 1=1 --"},
        {"exp": "soon"},
        {"exp": None},
        {"exp": 10**30, "sub": "\x00"},
    ],
    ids=str,
)
async def test_t2_refuses_claims_of_another_kind(app: FastAPI, good: str, change: dict[str, Any]) -> None:
    """Even when the key is ours."""
    forged = jwt.api_jws.encode(
        json.dumps(claims_of(good) | change).encode(),
        state_of(app, AccountsState).logins.access_tokens.key,
        "HS256",
        headers=TYPED,
    )

    assert await status(app, forged) == 401


def forgeries(good: str, key: bytes) -> dict[str, str]:
    header, payload, signature = good.split(".")
    claims = claims_of(good)
    signed = jwt.encode(claims, key, "HS256", headers=TYPED)
    return {
        "none": f"{part({'alg': 'none', **TYPED})}.{payload}.",
        "None, with the signature": f"{part({'alg': 'None', **TYPED})}.{payload}.{signature}",
        "no signature": f"{header}.{payload}.",
        "cut signature": good[:-2],
        "no alg": f"{part(TYPED)}.{payload}.{signature}",
        "another payload": f"{header}.{part(claims | {'jti': 'x'})}.{signature}",
        "another key": jwt.encode(claims, "x" * 32, "HS256", headers=TYPED),
        "an empty key": f"{header}.{payload}." + mac(b"", f"{header}.{payload}"),
        "the raw secret": jwt.encode(claims, SECRET, "HS256", headers=TYPED),
        "HS384": jwt.encode(claims, key, "HS384", headers=TYPED),
        "HS512": jwt.encode(claims, key, "HS512", headers=TYPED),
        "RS256, signed as HS256": signed_by_hand({"alg": "RS256", **TYPED}, claims, key),
        "typ JWT": jwt.encode(claims, key, "HS256"),
        "typ refresh": jwt.encode(claims, key, "HS256", headers={"typ": "rt+jwt"}),
        "crit": signed_by_hand({"alg": "HS256", "crit": ["exp"], **TYPED}, claims, key),
        "crit unknown": signed_by_hand({"alg": "HS256", "crit": ["x"], "x": 1, **TYPED}, claims, key),
        "embedded jwk": jwt.encode(claims, "x" * 32, "HS256", headers={**TYPED, "jwk": {"kty": "oct", "k": "eHg"}}),
        "kid is a path": jwt.encode(claims, "x" * 32, "HS256", headers={**TYPED, "kid": "/dev/null"}),
        "jku": jwt.encode(claims, "x" * 32, "HS256", headers={**TYPED, "jku": "https://evil.example/keys"}),
        "not base64": "ä.ö.ü",
        "two parts": f"{header}.{payload}",
        "four parts": f"{good}.x",
        "empty": ".",
        "a list": f"{header}.{part([])}.{mac(key, f'{header}.{part([])}')}",
        "long": signed[:-10] + "A" * 5000,
    }


def mac(key: bytes, text: str) -> str:
    return base64.urlsafe_b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).rstrip(b"=").decode()


def signed_by_hand(header: dict[str, Any], claims: dict[str, Any], key: bytes) -> str:
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{mac(key, text)}"


@pytest.mark.filterwarnings("ignore:The HMAC key is")
async def test_t1_refuses_every_forgery_alike(app: FastAPI, good: str) -> None:
    answers = {}
    for name, token in forgeries(good, state_of(app, AccountsState).logins.access_tokens.key).items():
        async with connect(app) as client:
            answer = await client.get("/me", headers={"Authorization": f"Bearer {token}".encode()})
        answers[name] = (answer.status_code, answer.headers.get("WWW-Authenticate"), answer.json()["code"])

    assert {name: answer for name, answer in answers.items() if answer != (401, "Bearer", "invalid_token")} == {}
    assert len(answers) >= 25


async def test_t1_the_good_one_is_good(app: FastAPI, good: str) -> None:
    """What keeps the tests above honest."""
    claims = claims_of(good)

    assert await status(app, good) == 200
    assert (
        await status(
            app,
            signed_by_hand({"alg": "HS256", **TYPED}, claims, state_of(app, AccountsState).logins.access_tokens.key),
        )
        == 200
    )


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "bearer x", "Token x"])
async def test_refuses_other_schemes(client: httpx2.AsyncClient, header: str) -> None:
    answer = await client.get("/me", headers={"Authorization": header})

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_t3_a_token_is_good_for_one_thing_only(
    app: FastAPI, client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    tokens = await sign_in(client, session)

    assert await status(app, tokens["refresh_token"]) == 401
    refreshed = await client.post("/refresh", json={"refresh_token": tokens["access_token"]})
    assert refreshed.status_code == 401


def test_t1_refuses_to_start_with_a_short_key() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Settings(_env_file=None, secret_key="x" * 31)


async def test_t3_every_purpose_has_a_key_of_its_own(app: FastAPI) -> None:
    keys = {
        state_of(app, AccountsState).logins.access_tokens.key,
        state_of(app, AccountsState).codes.key,
        state_of(app, AccountsState).logins.refresh_key,
        SECRET.encode(),
    }

    assert len(keys) == 4
    assert state_of(app, AccountsState).logins.access_tokens.lifetime == timedelta(minutes=10)
