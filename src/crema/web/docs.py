"""Swagger UI and ReDoc from files of the server: no CDN, no inline script, and it works offline."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import fastapi_offline
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from crema.web.caching import Public
from crema.web.routing import make_pages_router
from crema.web.state import state_of
from crema.web.tags import tag_of

VENDOR: Final = Path(fastapi_offline.__file__).parent / "static"
ASSETS: Final = Path(__file__).parent / "assets"

# Both UIs write style attributes; ReDoc searches in a worker made from a blob.
_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; frame-ancestors 'none'"
)

_SWAGGER: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Crema API</title>
<link rel="icon" href="/docs/vendor/favicon.png">
<link rel="stylesheet" href="/docs/vendor/swagger-ui.css">
<link rel="stylesheet" href="/docs/assets/docs.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/vendor/swagger-ui-bundle.js"></script>
<script src="/docs/assets/swagger.js"></script>
</body>
</html>
"""

_REDOC: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Crema API reference</title>
<link rel="icon" href="/docs/vendor/favicon.png">
<link rel="stylesheet" href="/docs/assets/docs.css">
</head>
<body>
<redoc spec-url="/openapi.json"></redoc>
<script src="/docs/vendor/redoc.standalone.js"></script>
</body>
</html>
"""

router = make_pages_router()


@router.get("/")
async def start() -> RedirectResponse:
    """Redirect to the documentation."""
    return RedirectResponse("/docs")


@router.get("/docs")
async def swagger() -> HTMLResponse:
    """Serve Swagger UI."""
    return HTMLResponse(_SWAGGER, headers={"Content-Security-Policy": _CSP})


@router.get("/redoc")
async def redoc() -> HTMLResponse:
    """Serve ReDoc."""
    return HTMLResponse(_REDOC, headers={"Content-Security-Policy": _CSP})


class Documents:
    """The OpenAPI and AsyncAPI documents as they are sent: made at their first request, then kept."""

    def __init__(self, *, openapi: Callable[[], Mapping[str, Any]], asyncapi: Callable[[], Mapping[str, Any]]) -> None:
        self.openapi = cache(lambda: _Document(openapi()))
        self.asyncapi = cache(lambda: _Document(asyncapi()))


class _Document:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self.content = document
        self._body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        self._etag = tag_of(self._body)

    def response(self) -> Response:
        """Return the answer with the document."""
        return Response(self._body, media_type="application/json", headers={"ETag": self._etag})


@router.get("/openapi.json", dependencies=[Public])
async def openapi(request: Request) -> Response:
    """Serve the OpenAPI document."""
    return state_of(request.app, Documents).openapi().response()


@router.get("/asyncapi.json", dependencies=[Public])
async def asyncapi(request: Request) -> Response:
    """Serve the AsyncAPI document, of the WebSockets."""
    return state_of(request.app, Documents).asyncapi().response()


@router.get("/docs/live")
async def live() -> HTMLResponse:
    """Serve a page that shows how to connect to the WebSockets, and lets people try."""
    return HTMLResponse((ASSETS / "live.html").read_text(), headers={"Content-Security-Policy": _CSP})


def mount_assets(app: Starlette) -> None:
    """Serve the files of these pages: those of Swagger UI and ReDoc from their package, and our own."""
    app.mount("/docs/vendor", StaticFiles(directory=VENDOR), name="docs-vendor")
    app.mount("/docs/assets", StaticFiles(directory=ASSETS), name="docs-assets")
