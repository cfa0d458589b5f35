"""The families of errors that clients are told of. Features define subclasses where they raise them.

`web.problem` maps a family to an HTTP status: business code doesn't know HTTP.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, TypeAlias

Loc: TypeAlias = tuple[str | int, ...]
"""A path in a request's body."""


class CremaError(Exception):
    """An error that a client can act on.

    `code` is stable and part of the contract. `title` says what is wrong and `advice` what to do; both are the same for
    all instances. `detail` is about this one, by default the advice. `extra` become extension members of the problem
    document.
    """

    code: ClassVar[str]
    title: ClassVar[str]
    advice: ClassVar[str]

    def __init__(self, detail: str | None = None, **extra: Any) -> None:
        super().__init__(detail or self.advice)
        self.detail = detail or self.advice
        self.extra = extra


class UnauthenticatedError(CremaError):
    """The request needs a login and has none."""

    code = "not_authenticated"
    title = "Authentication is required."
    advice = "Log in, and send the access token."


class ForbiddenError(CremaError):
    """The role doesn't allow this for any object."""

    code = "forbidden"
    title = "Your role does not allow this."
    advice = "Ask an administrator for the permission."


class NotFoundError(CremaError):
    """It doesn't exist, or the actor may not see it: the two must be indistinguishable."""

    code = "not_found"
    title = "There is no such resource."
    advice = "Check the path and the ids in it. What you may not see is answered like this, too."


class ConflictError(CremaError):
    """The request is valid, but the present state doesn't allow it."""

    code = "conflict"
    title = "The current state does not allow this."
    advice = "Read it again, then decide."


class PreconditionFailedError(CremaError):
    """`If-Match` names another version than the present one: somebody else has changed it."""

    code = "precondition_failed"
    title = "This has been changed since you read it."
    advice = "Read it again, then send your change with the new ETag."


class InvalidError(CremaError):
    """The input breaks a rule that its schema can't express."""

    code = "validation_error"
    title = "The request is not valid."
    advice = "Correct what `errors` names."


class UnknownReferenceError(InvalidError):
    """The body names something that doesn't exist. `places` are the paths of it in the body."""

    code = "unknown_reference"
    title = "Something named in the body does not exist."
    advice = "Correct what `errors` names."

    def __init__(self, places: Sequence[Loc], **extra: Any) -> None:
        errors = [{"loc": ["body", *loc], "msg": "does not exist", "type": "unknown_reference"} for loc in places]
        where = "; ".join(".".join(map(str, loc)) for loc in places)
        super().__init__(f"Unknown: {where}.", errors=errors, **extra)


@contextmanager
def referred_to(*loc: str | int) -> Iterator[None]:
    """Turn a NotFoundError into an UnknownReferenceError for this path in the body."""
    try:
        yield
    except NotFoundError as error:
        raise UnknownReferenceError([loc]) from error


class TooManyError(CremaError):
    """Too many requests. `retry_after` is in whole seconds, and is sent as Retry-After."""

    code = "too_many_requests"
    title = "Too many requests."
    advice = "Try again after `retry_after` seconds."

    def __init__(self, detail: str | None = None, *, retry_after: int, **extra: Any) -> None:
        super().__init__(detail, retry_after=retry_after, **extra)
        self.retry_after = retry_after


class TooLargeError(CremaError):
    """The request has more bytes or pixels than allowed."""

    code = "too_large"
    title = "The request is too large."
    advice = "Send less in one request."


class UrlTooLongError(CremaError):
    """The path and the query together are too long."""

    code = "url_too_long"
    title = "The URL is too long."
    advice = "Shorten the path or the query."


class HeadersTooLargeError(CremaError):
    """There are too many headers, or too many bytes of them."""

    code = "headers_too_large"
    title = "The request headers are too large."
    advice = "Send fewer or shorter headers."


class UnsupportedTypeError(CremaError):
    """The content has a type that isn't accepted."""

    code = "unsupported_type"
    title = "This type of content is not supported."
    advice = "Send one of the types that this route's description names."
