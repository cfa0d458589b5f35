"""The families of refusals. A feature defines its own facts as subclasses, next to where it raises them.

`web.problem` maps a family to an HTTP status, so business code never speaks HTTP.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, TypeAlias

Loc: TypeAlias = tuple[str | int, ...]
"""Where in a request's body something stands."""


class CremaError(Exception):
    """A refusal a client can act on.

    `code` is stable and part of the contract. `title` says what is wrong and `advice` what to do about it, the same for
    every instance. `detail` speaks of this one, and is the advice where nothing more is known. `extra` becomes
    extension members of the problem document.
    """

    code: ClassVar[str]
    title: ClassVar[str]
    advice: ClassVar[str]

    def __init__(self, detail: str | None = None, **extra: Any) -> None:
        super().__init__(detail or self.advice)
        self.detail = detail or self.advice
        self.extra = extra


class UnauthenticatedError(CremaError):
    """No login was sent."""

    code = "not_authenticated"
    title = "Authentication is required."
    advice = "Log in, and send the access token."


class ForbiddenError(CremaError):
    """This role may not do this at all, to no object."""

    code = "forbidden"
    title = "Your role does not allow this."
    advice = "Ask an administrator for the permission."


class NotFoundError(CremaError):
    """It does not exist, or is not yours to see: the two must stay indistinguishable."""

    code = "not_found"
    title = "There is no such resource."
    advice = "Check the path and the ids in it. What you may not see is answered like this, too."


class ConflictError(CremaError):
    """Well formed, but the present state refuses it."""

    code = "conflict"
    title = "The current state does not allow this."
    advice = "Read it again, then decide."


class PreconditionFailedError(CremaError):
    """`If-Match` names another version than there is now: somebody else was faster."""

    code = "precondition_failed"
    title = "This has been changed since you read it."
    advice = "Read it again, then send your change with the new ETag."


class InvalidError(CremaError):
    """The input breaks a rule that its schema can't express."""

    code = "validation_error"
    title = "The request is not valid."
    advice = "Correct what `errors` names."


class UnknownReferenceError(InvalidError):
    """The body names something that does not exist. `places` are where, each a path inside the body."""

    code = "unknown_reference"
    title = "Something named in the body does not exist."
    advice = "Correct what `errors` names."

    def __init__(self, places: Sequence[Loc], **extra: Any) -> None:
        errors = [{"loc": ["body", *loc], "msg": "does not exist", "type": "unknown_reference"} for loc in places]
        where = "; ".join(".".join(map(str, loc)) for loc in places)
        super().__init__(f"Unknown: {where}.", errors=errors, **extra)


@contextmanager
def referred_to(*loc: str | int) -> Iterator[None]:
    """Turn a NotFoundError into an UnknownReferenceError: what isn't found was named in the body, at this place."""
    try:
        yield
    except NotFoundError as error:
        raise UnknownReferenceError([loc]) from error


class TooManyError(CremaError):
    """Asked too often. `retry_after` is in whole seconds and travels as Retry-After."""

    code = "too_many_requests"
    title = "Too many requests."
    advice = "Try again after `retry_after` seconds."

    def __init__(self, detail: str | None = None, *, retry_after: int, **extra: Any) -> None:
        super().__init__(detail, retry_after=retry_after, **extra)
        self.retry_after = retry_after


class TooLargeError(CremaError):
    """More bytes or pixels than we take."""

    code = "too_large"
    title = "The request is too large."
    advice = "Send less in one request."


class UrlTooLongError(CremaError):
    """The path and the query together are longer than we read."""

    code = "url_too_long"
    title = "The URL is too long."
    advice = "Shorten the path or the query."


class HeadersTooLargeError(CremaError):
    """More headers, or more bytes of them, than we read."""

    code = "headers_too_large"
    title = "The request headers are too large."
    advice = "Send fewer or shorter headers."


class UnsupportedTypeError(CremaError):
    """Content of a kind we do not take."""

    code = "unsupported_type"
    title = "This type of content is not supported."
    advice = "Send one of the types that this route's description names."
