"""Forms. One with a file is read as it arrives: it is refused at the first error, and never in memory as a whole.

FastAPI's `UploadFile` is read before authentication, keeps the last of several files, and refuses `filename*`. Here a
dependency checks first and reads then.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import Message
from email.utils import collapse_rfc2231_value
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Final, Generic, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from crema.core.errors import TooLargeError
from crema.schemas import Input

FILE: Final = "file"
MAX_FIELD_BYTES: Final = 16 * 1024

FormT = TypeVar("FormT", bound=Input)


@dataclass(frozen=True, slots=True)
class Upload(Generic[FormT]):
    """An uploaded file, open at its start, with its name and size, and the form's other fields."""

    file: BinaryIO
    name: str
    size: int
    form: FormT


async def _each_field_once(request: Request) -> None:
    names = Counter(name for name, _ in (await request.form()).multi_items())
    for name, times in names.items():
        if times > 1:
            raise _refused(name, "repeated", "send this field once")


def form_or_json(model: type[FormT]) -> Callable[[Request], Coroutine[Any, Any, FormT]]:
    """Return a dependency that reads a form, each field once, or the same as JSON."""

    async def read(request: Request) -> FormT:
        is_json = request.headers.get("content-type", "").partition(";")[0].strip() == "application/json"
        try:
            if is_json:
                return model.model_validate_json(await request.body())
            await _each_field_once(request)
            return model.model_validate(dict(await request.form()))
        except ValidationError as error:
            raise RequestValidationError(
                [{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
            ) from error

    return read


def form_or_json_schema(model: type[Input]) -> dict[str, Any]:
    """Return the `openapi_extra` of such a route. It describes the form only.

    With two types of one body the code that openapi-python-client generates doesn't pass mypy.
    """
    content = {"application/x-www-form-urlencoded": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


def declared_size(request: Request, *, at_most: int) -> int:
    """Return how many bytes a body can have: its Content-Length, or `at_most`."""
    declared = request.headers.get("content-length", "")
    return min(int(declared), at_most) if declared.isascii() and declared.isdigit() else at_most


def form_schema(model: type[Input], *, description: str) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that takes a form with a file."""
    schema = model.model_json_schema()
    file = {
        "type": "string",
        "format": "binary",  # as Swagger and most generators know a file; the next line is OpenAPI 3.1's way
        "contentMediaType": "application/octet-stream",
        "description": description,
    }
    schema["properties"] = {FILE: file} | schema.get("properties", {})
    schema["required"] = [FILE, *schema.get("required", [])]
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


@asynccontextmanager
async def read_upload(request: Request, model: type[FormT], *, max_bytes: int) -> AsyncIterator[Upload[FormT]]:
    """Yield the form, which has the file and the fields of `model`. The file is deleted after this context."""
    with TemporaryFile() as file:
        reader = _Reader(file, fields=frozenset(model.model_fields), max_bytes=max_bytes)
        await reader.read(request)
        if not reader.has_file:
            raise _refused(FILE, "missing", "send a file")
        try:
            form = model.model_validate(reader.values)
        except ValidationError as error:
            raise RequestValidationError(
                [{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
            ) from error
        file.seek(0)
        yield Upload(file, reader.filename, reader.size, form)


def _refused(field: str, kind: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body", field), "msg": message, "type": kind}])


_BROKEN: Final = "the body is not a multipart form"


class _Reader:
    """Takes the form's parts one after another."""

    def __init__(self, file: BinaryIO, *, fields: frozenset[str], max_bytes: int) -> None:
        self._file = file
        self._fields = fields
        self._max_bytes = max_bytes
        self._header = bytearray(), bytearray()
        self._disposition = b""
        self._field = ""
        self._value = bytearray()
        self._pending: list[bytes] = []
        self._is_complete = False
        self.has_file = False
        self.filename = ""
        self.size = 0
        self.values: dict[str, str] = {}

    async def read(self, request: Request) -> None:
        kind, options = parse_options_header(request.headers.get("content-type"))
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise RequestValidationError([{"loc": ("body",), "msg": "send a multipart form", "type": "unparsable"}])
        try:
            parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._take,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
            async for chunk in request.stream():
                parser.write(chunk)
                if self._pending:
                    await run_in_threadpool(self._file.writelines, self._pending)
                    self._pending = []
            parser.finalize()
        except FormParserError as error:
            raise RequestValidationError([{"loc": ("body",), "msg": _BROKEN, "type": "unparsable"}]) from error
        if not self._is_complete:
            raise RequestValidationError([{"loc": ("body",), "msg": "the form is cut off", "type": "unparsable"}])

    def _begin_part(self) -> None:
        self._disposition = b""
        self._value = bytearray()

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)
        self._header = bytearray(), bytearray()

    def _end_headers(self) -> None:
        self._field, filename = _disposition(self._disposition)
        is_known = self._field == FILE or self._field in self._fields
        if not is_known:
            raise _refused(self._field, "extra_forbidden", "there is no such field")
        if (self._field == FILE and self.has_file) or self._field in self.values:
            raise _refused(self._field, "repeated", "send this field once")
        if self._field == FILE:
            if filename is None:
                raise _refused(FILE, "file_expected", "send it as a file, with a filename")
            self.has_file, self.filename = True, filename
        elif filename is not None:
            raise _refused(self._field, "text_expected", "send it as text, without a filename")

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._field == FILE:
            self.size += end - start
            if self.size > self._max_bytes:
                raise TooLargeError(f"A file has at most {self._max_bytes // 1024**2} MiB.")
            self._pending.append(data[start:end])
            return
        self._value.extend(data[start:end])
        if len(self._value) > MAX_FIELD_BYTES:
            raise _refused(self._field, "too_long", "this field is too long")

    def _end_part(self) -> None:
        if self._field != FILE:
            try:
                self.values[self._field] = self._value.decode()
            except UnicodeDecodeError as error:
                raise _refused(self._field, "not_utf8", "this field is not UTF-8") from error

    def _end(self) -> None:
        self._is_complete = True


def _disposition(header: bytes) -> tuple[str, str | None]:
    """Return the field name and the filename of a part. A `filename*` of RFC 5987 takes precedence."""
    message = Message()
    message["Content-Disposition"] = header.decode("utf-8", "replace").replace("\r", "").replace("\n", "")
    parameters = message.get_params(failobj=[], header="content-disposition")[1:]
    names = [value for key, value in parameters if key == "name" and isinstance(value, str)]
    filenames = [value for key, value in parameters if key == "filename"]
    if len(names) != 1:
        raise RequestValidationError([{"loc": ("body",), "msg": "each part has one name", "type": "unparsable"}])
    filenames.sort(key=lambda value: isinstance(value, str))
    return names[0], collapse_rfc2231_value(filenames[0], errors="replace") if filenames else None
