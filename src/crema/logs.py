"""Structured logs, without secrets, one line an event, in one format for Crema and its libraries.

Our own events are written to the stream directly: with the standard library's handlers a line costs three times as
much.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Literal

import structlog
from structlog.typing import EventDict, Processor

_SECRET: Final = re.compile(r"password|token|secret|authorization|cookie|^code$|smtp_url|database_url", re.IGNORECASE)
_CREDENTIALS: Final = re.compile(r"(://[^\s:/@]*):[^\s/@]+@")
_UNSAFE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Control characters (C0, DEL, C1), line breaks, characters that turn or hide text on a terminal, lone surrogates."""
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

_JSON: Final = json.JSONEncoder(ensure_ascii=False, default=repr)
"""Kept: `json.dumps` with these options makes a new encoder for each line."""


class _Stderr(structlog.WriteLogger):
    """A logger of lines on stderr, with a name."""

    def __init__(self, name: str = "crema") -> None:
        super().__init__(sys.stderr)
        self.name = name


@lru_cache(1_000)
def _is_secret(name: str) -> bool:
    return _SECRET.search(name) is not None


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace secrets of an event by asterisks, and escape line breaks and control characters."""
    for name, value in event.items():
        if name.startswith("_"):
            continue  # structlog's own
        if _is_secret(name):
            event[name] = "***"
        elif name == "exception" and isinstance(value, str):
            event[name] = "\n".join(_clean(line) for line in value.split("\n"))
        elif not isinstance(value, (int, float, bool, type(None))):
            event[name] = _clean(value)
    return event


def _clean(value: Any) -> Any:
    """Return the value with all texts in it cleaned, keys included; other objects as their repr."""
    if isinstance(value, str):
        if "://" in value:
            value = _CREDENTIALS.sub(r"\1:***@", value)
        return value if value.isprintable() else _UNSAFE.sub(_escaped, value)
    if isinstance(value, Mapping):
        return {
            _clean(name): "***" if isinstance(name, str) and _is_secret(name) else _clean(each)
            for name, each in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean(each) for each in value]
    return value if isinstance(value, (int, float, type(None))) else _clean(repr(value))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return _SHORT.get(match[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")  # noqa: PLR2004


def strip_query_strings(record: logging.LogRecord) -> bool:
    """Remove query strings from uvicorn's records, and the traceback of a client's invalid UTF-8."""
    if isinstance(record.args, tuple):
        record.args = tuple(part.partition("?")[0] if isinstance(part, str) else part for part in record.args)
    if record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError):
        record.exc_info = None
    return True


def configure(log_format: Literal["console", "json"]) -> None:
    """Configure the logs of this process."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(serializer=lambda event, **_: _JSON.encode(event))
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*shared, renderer],
        logger_factory=_Stderr,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").addFilter(strip_query_strings)
    # At INFO they log every job and every connection.
    for library in ("procrastinate", "httpx", "psycopg", "alembic"):
        logging.getLogger(library).setLevel(logging.WARNING)
