"""Who may ask the server for what: hosts, other sites' pages, the token, sizes.

A page of another site can send requests to this machine through its visitor's browser. Requests for another host name
(DNS rebinding) are refused, and so are requests for data or to change something that come from another site. Beyond
the loopback address nobody reads or writes without the token.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "ganvas-token"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # modules of two versions must not meet in one page; tiles say otherwise
}
OPEN_PATHS = ("/token", "/health")
"""What answers without a token: the exchange of the token for a cookie, and whether the server is up."""


@dataclass(frozen=True)
class Guard:
    """Refuses what no page of ours asks.

    Args:
        host: address that the server listens on.
        token: asked for where that is beyond loopback; drawn anew for each server.
    """

    host: str = "127.0.0.1"
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def needs_token(self) -> bool:
        """Tell whether others than this machine can reach the server."""
        return not is_loopback(self.host)

    def accepts(self, token: str) -> bool:
        """Tell whether a token is the server's, in the same time for any."""
        return secrets.compare_digest(token.encode(), self.token.encode())

    def refusal(self, request: Request) -> Response | None:
        """Return the answer to a request that is refused; None for any other."""
        name = (request.headers.get("host") or "").rsplit(":", 1)[0].strip("[]")
        if not self._is_own_name(name):
            return refuse(403, "This server answers to its own address only", f"The request is for {name or 'no host'}")
        is_ours = request.url.path.startswith("/api/") or request.method not in ("GET", "HEAD")
        if is_ours and not _is_own_page(request):
            return refuse(403, "Only pages of this server may ask it", "The request comes from another site")
        if self.needs_token and not request.url.path.startswith(OPEN_PATHS):
            given = request.cookies.get(COOKIE) or request.headers.get("x-ganvas-token") or ""
            is_page = request.method in ("GET", "HEAD") and not request.url.path.startswith("/api/")
            # The page itself holds nothing secret, and brings the token from its address to the server.
            if not is_page and not self.accepts(given):
                what = "This server asks for its token"
                return refuse(401, what, do="Open the address that `ganvas studio` printed, with all that follows #")
        return None

    def _is_own_name(self, name: str) -> bool:
        if is_loopback(name):
            return True
        if not self.needs_token:
            return False
        # Beyond loopback the token keeps others out; names that are no addresses could still be rebound.
        return _is_address(name) or name.casefold() == self.host.casefold()


class Door:
    """Middleware before everything else: answers what is refused, and adds the headers that each answer has.

    It hands on what it receives as it is, so that routes can see that whoever asked has gone.

    Args:
        app: what lies behind it.
        refusals: each returns the answer to a request that it refuses.
    """

    def __init__(self, app: ASGIApp, refusals: Sequence[Callable[[Request], Response | None]]) -> None:
        self.app, self.refusals = app, refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        refusal = next((found for refuses in self.refusals if (found := refuses(request)) is not None), None)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await (refusal or self.app)(scope, receive, send_with_headers)


def _is_own_page(request: Request) -> bool:
    """Tell whether a request comes from our page or from no page at all, as those of programs do."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or origin.split("://", 1)[-1] == request.headers.get("host")


def is_loopback(name: str) -> bool:
    """Tell whether a host name or address is this machine's own."""
    return name.casefold() == "localhost" or (_is_address(name) and ip_address(name).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def refuse(status: int, what: str, why: str = "", do: str = "") -> JSONResponse:
    """Return an error as pages show it: what happened, why, what to do."""
    # What is still sent of a body that was refused is not read.
    headers = {"Connection": "close"} if status in (411, 413) else None
    return JSONResponse({"what": what, "why": why, "do": do}, status_code=status, headers=headers)
