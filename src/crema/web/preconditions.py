"""ETag and If-Match of what can be edited: nobody overwrites a change that they haven't seen (RFC 9110, 13.1.1).

A strong ETag is `"version.content"`: the version of the row, and a digest of the content. `If-Match` compares the
version only: it doesn't matter which part of the resource was read, or in which encoding. `If-None-Match` compares
both. Routes declare a dependency: `shown` if they read a resource, `edited` if they change or delete it, `made` if they
create it and answer with it.
"""

import json
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Header, Request, Response
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.status import HTTP_204_NO_CONTENT, HTTP_300_MULTIPLE_CHOICES

from crema.db import versions
from crema.db.driver import Reader
from crema.db.versions import Key
from crema.web.audit import Author
from crema.web.response_hooks import on_response
from crema.web.tags import tag, versions_in
from crema.web.transaction import IdentityReads, Reads, Transaction, transaction_of

_UUID: Final[TypeAdapter[UUID]] = TypeAdapter(UUID)
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="Change the resource only if it still has this `ETag`, or one of several, comma-separated (`*`: "
        "any); otherwise the answer is 412.",
        examples=['"84213-26d298d6.5f1d2c3e"'],
    ),
]


class Versioned:
    """The dependencies of routes that read or change rows of one table.

    `parameter` is the path parameter with the id; without it the row is that of the actor.
    """

    def __init__(self, key: Key, parameter: str | None = None) -> None:
        self._key = key
        self._parameter = parameter
        self.shown = Depends(self._show if parameter else self._show_self)
        self.edited = Depends(self._edit)
        self.made = Depends(self._make)

    async def _show(self, request: Request, reader: Reads) -> None:
        await self._add_tag_when_answered(request, reader)

    async def _show_self(self, request: Request, reader: IdentityReads) -> None:
        await self._add_tag_when_answered(request, reader)

    async def _add_tag_when_answered(self, request: Request, reader: Reader) -> None:
        # Before the row itself is read: otherwise old content could be sent with a newer version.
        value = self._value(request)
        version = None if value is None else await versions.find(reader, key=self._key, value=value)

        async def add_tag(_: Request, response: Response) -> None:
            if version is not None:
                _set_tag(response, version)

        on_response(request, add_tag)

    async def _edit(self, request: Request, tx: Transaction, if_match: IfMatch = None) -> None:
        if if_match is not None and if_match.strip() != "*":
            versions.expect(tx, versions.model_of(self._key), versions_in(if_match))
        on_response(request, self._add_tag)

    async def _make(self, request: Request) -> None:
        on_response(request, self._add_tag_of_made)

    async def _add_tag(self, request: Request, response: Response) -> None:
        if response.status_code != HTTP_204_NO_CONTENT:
            await self._add(request, response, self._value(request))

    async def _add_tag_of_made(self, request: Request, response: Response) -> None:
        await self._add(request, response, _uuid(json.loads(bytes(response.body)).get("id")))

    async def _add(self, request: Request, response: Response, value: UUID | None) -> None:
        """Set the ETag of a changed row's answer, in the transaction, which has the row locked."""
        tx = transaction_of(request)
        if isinstance(tx, AsyncSession):
            await tx.flush()
        version = None if value is None else await versions.find(tx, key=self._key, value=value)
        if version is not None:
            _set_tag(response, version)

    def _value(self, request: Request) -> UUID | None:
        if self._parameter is None:
            author: Author | None = getattr(request.state, "author", None)
            return None if author is None else author.user_id
        return _uuid(request.path_params.get(self._parameter))


def _set_tag(response: Response, version: str) -> None:
    if response.status_code < HTTP_300_MULTIPLE_CHOICES:
        response.headers["ETag"] = tag(version, bytes(response.body))


def _uuid(text: Any) -> UUID | None:
    try:
        return _UUID.validate_python(text)
    except ValidationError:
        return None
