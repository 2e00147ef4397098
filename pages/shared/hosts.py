"""Requests that reach this server under a foreign name are refused, so that another site cannot read the app by giving
its own name this machine's address (DNS rebinding).

Streamlit's option server.allowedHosts (.streamlit/config.toml) lists the names. Streamlit itself holds websockets to
it; this holds every other request to it too: pages, downloads, uploads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

REFUSED = (
    "This app is not served under the name by which you asked for it. Open it as http://localhost, or add the name to "
    "server.allowedHosts in .streamlit/config.toml.\n"
)


class OnlyKnownHosts:
    """ASGI middleware: 403 for HTTP requests whose Host is not in server.allowedHosts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_host_allowed(Headers(scope=scope).get("host")):
            await PlainTextResponse(REFUSED, status_code=403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)
