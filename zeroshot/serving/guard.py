"""Who may ask: this page alone, under an address of this machine. And what its pages may load: only what is theirs.

A page of the internet that is open in the same browser must not reach the models: neither by posting to them (its
Origin is another), nor by a name of its own that it lets point at 127.0.0.1 (DNS rebinding: its Host is not ours).
"""

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
                               "form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",  # "no-referrer" would have the page's own form post with Origin "null"
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware that refuses what did not come from this page, and adds the headers of SECURITY to all answers.

    Args:
        app: what is guarded.
        host: the address or name that the server is bound to.
    """

    def __init__(self, app: ASGIApp, host: str):
        self._app, self._host = app, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        app: ASGIApp = self._app
        if said := refusal(scope["method"], scope["path"], Headers(scope=scope), self._host):
            app = PlainTextResponse(said + "\n", 403)

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY)
            await send(message)

        await app(scope, receive, send_secured)


def refusal(method: str, path: str, headers: Headers, bound: str) -> str:
    """Why a request is not answered, as a sentence; "" if it is."""
    asked = headers.get("host", "")
    if not is_ours(asked, bound):
        return ("Refused: the address that was asked for is no name of this server. Open the address that it printed, "
                "or start it with --host and the name that you use.")
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != asked.lower():
        return "Refused: the request comes from another site's page."
    opened = method == "GET" and path == "/" and headers.get("sec-fetch-mode") == "navigate"  # a link leads here
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not opened:
        return "Refused: the request comes from another site's page."
    return ""


def is_ours(asked: str, bound: str) -> bool:
    """Whether a Host header names this server; any port will do, since a tunnel may change it.

    An IP address is never a foreign name, so that a server bound beyond this machine answers to all of them.
    """
    try:
        name = urlsplit("//" + asked).hostname or ""
    except ValueError:
        return False
    if name in ("localhost", bound.lower()):
        return True
    if is_local(bound):
        return is_local(name)
    return is_address(name) or name in (socket.gethostname().lower(), socket.gethostname().lower() + ".local")


def is_address(name: str) -> bool:
    """Whether it is an IP address rather than a name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_local(name: str) -> bool:
    """Whether only this machine can be reached by it."""
    return name == "localhost" or (is_address(name) and ipaddress.ip_address(name).is_loopback)
