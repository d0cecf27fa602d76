"""Binding, saying where, serving until Ctrl-C."""

import contextlib
import logging
import socket

import uvicorn
from starlette.types import ASGIApp

from zeroshot.console.errors import InputError
from zeroshot.serving.guard import is_local
from zeroshot.serving.limits import CONNECTIONS

GRACE = 3  # seconds that requests in progress are given when the server is to end


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        InputError: no such address on this machine, or the port is taken.
    """
    if not 0 <= port < 2**16:
        raise InputError(f"--port {port}: expected 0 (any that is free) to {2**16 - 1}")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a restart would wait a minute
        listening.bind(address)
        listening.listen()
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"--host {host} --port {port}: cannot listen there: {why}; another --port may be free, and "
                         "--port 0 finds one") from None
    return listening


def address_of(listening: socket.socket) -> str:
    """What to open in a browser on this machine."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def warning(host: str) -> str:
    """What to say of an address that others can reach; "" where only this machine can."""
    if is_local(host):
        return ""
    return (f"Warning: --host {host}: whoever reaches this machine can use the page, without a password, and see the "
            "photographs that it searches; what is sent is not encrypted.")


def server_of(app: ASGIApp) -> uvicorn.Server:
    """One that says nothing but what fails."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return uvicorn.Server(uvicorn.Config(
        app, loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None, access_log=False,
        proxy_headers=False, server_header=False, limit_concurrency=CONNECTIONS, timeout_graceful_shutdown=GRACE))


def run(app: ASGIApp, listening: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM; requests in progress are given GRACE seconds."""
    with contextlib.suppress(KeyboardInterrupt):
        server_of(app).run(sockets=[listening])
