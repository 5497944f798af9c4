"""The one-time page's HTTP server on 127.0.0.1: one request per connection, with limits on times and sizes.

Always: a request reaches the page only if its Host and path are exactly those of the page. A form that comes from
another Origin does not reach the page. The server never logs or repeats a part of a request. No visitor can occupy a
thread for longer than the limits below. On Linux, connections from other users are refused before any data is read (see
`peer_user`).
"""

import logging
import socket
import socketserver
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from threading import Lock
from typing import Any, Protocol
from urllib.parse import parse_qsl

from claude_secrets import paths
from claude_secrets.model import VALUE_LIMIT
from claude_secrets.prompt import peer_user
from claude_secrets.prompt.page_binding import COOKIE, is_among
from claude_secrets.prompt.page_html import CONTENT_SECURITY_POLICY
from claude_secrets.prompt.page_replies import Reply, unreadable
from claude_secrets.prompt.peer_user import Visit

BODY_LIMIT = 6 * VALUE_LIMIT + 4096
"""The maximum size of a request's body in bytes. A newline grows most in a form: one byte becomes %0D%0A."""

REQUEST_LIMIT = 10.0
"""Seconds that a whole request may take to arrive."""

VISITORS_LIMIT = 32
"""The maximum number of requests that are arriving at once. If another request comes, the oldest is dropped."""

_WAITING_LIMIT = 512
"""The maximum number of connections that wait to be accepted. The server looks up their users together, so many
connections cost little more than one."""

_DISCARD_LIMIT = 4 * BODY_LIMIT
_POLL = 0.1

_SENT_AWAY = (
    "HTTP/1.0 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
    "This page is open to one user of this machine only.\n"
    "If this is your own browser, run this in a terminal where the server runs: {} set NAME\n"
)

_HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
    # Not "no-referrer": browsers would then send "Origin: null" with the form.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Connection", "close"),
)

_log = logging.getLogger(__name__)


class Visited(Protocol):
    """The page's interface for the server. The server calls the methods from several threads."""

    path: str
    key: str

    def visit(self, cookies: Sequence[str], *, keyed: bool) -> Reply:
        """Return the answer to a GET request.

        `cookies` are the values of the visitor's cookies for this page. `keyed` says whether the requested address
        contains the key.
        """

    def submit(self, cookies: Sequence[str], form: Mapping[str, str]) -> Reply:
        """Return the answer to a POST request with a form."""

    def replied(self) -> None:
        """Note that an answer was sent, or that sending it failed."""


class _RefusedError(Exception):
    """Raised to refuse a request before it reaches the page."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


class PageServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A server on a random port of 127.0.0.1. Call `accept_visitors` and `drop_overdue` in turn, then close it.

    Raises:
        OSError: the server cannot listen. `peer_user.UnseenError`: the system does not show which user opens a
            connection.
    """

    daemon_threads = True
    allow_reuse_address = False
    allow_reuse_port = False
    request_queue_size = _WAITING_LIMIT

    def __init__(self, page: Visited) -> None:
        self.page = page
        self._arriving: dict[socket.socket, float] = {}
        self._lock = Lock()
        super().__init__(("127.0.0.1", 0), _Handler)
        self._address = ("127.0.0.1", int(self.server_address[1]))
        self.host = f"127.0.0.1:{self._address[1]}"
        try:
            peer_user.require_table(self.socket)
        except OSError:
            self.server_close()
            raise

    def accept_visitors(self) -> None:
        """Wait a moment for connections. Answer connections of the person and of root; refuse all others."""
        visits = self._accepted()
        if not visits:
            return
        try:
            welcome = peer_user.let_in(visits, self._address)
        except OSError:
            welcome = [False] * len(visits)
        for visit, may in zip(visits, welcome, strict=True):
            if may:
                self._answer(visit)
            else:
                _send_away(visit.connection)

    def _accepted(self) -> list[Visit]:
        visits: list[Visit] = []
        self.socket.settimeout(_POLL)
        with suppress(OSError):  # no connection, or no further connection
            while len(visits) < _WAITING_LIMIT:
                visits.append(Visit(*self.socket.accept()))
                self.socket.settimeout(0)
        return visits

    def _answer(self, visit: Visit) -> None:
        visit.connection.settimeout(None)
        try:
            self.process_request(visit.connection, visit.address)
        except Exception:  # noqa: BLE001 - one visitor's failure (a thread that does not start) does not stop the next
            self.handle_error(visit.connection, visit.address)
            self.shutdown_request(visit.connection)

    def server_bind(self) -> None:
        """Bind the port exclusively on every system: no other program can listen on the same port."""
        if sys.platform == "win32":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        super().server_bind()

    # The type is Any, here and below, because socketserver's own type of a request includes datagrams.

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle the request on a new thread, with a deadline. If too many requests are arriving, drop the oldest."""
        with self._lock:
            oldest = next(iter(self._arriving)) if len(self._arriving) >= VISITORS_LIMIT else None
            self._arriving[request] = time.monotonic() + REQUEST_LIMIT
        if oldest is not None:
            self._drop(oldest)
        super().process_request(request, client_address)

    def arrived(self, request: socket.socket) -> None:
        """Remove the deadline of a request that was read completely. Answering the request may take longer."""
        with self._lock:
            self._arriving.pop(request, None)

    def shutdown_request(self, request: Any) -> None:
        """Close one connection."""
        self.arrived(request)
        super().shutdown_request(request)

    def drop_overdue(self) -> None:
        """Drop the requests that did not arrive completely before their deadline."""
        now = time.monotonic()
        with self._lock:
            overdue = [request for request, deadline in self._arriving.items() if deadline <= now]
        for request in overdue:
            self._drop(request)

    def server_close(self) -> None:
        """Stop listening, and drop the requests that are still arriving."""
        super().server_close()
        with self._lock:
            arriving = list(self._arriving)
        for request in arriving:
            self._drop(request)

    def _drop(self, request: socket.socket) -> None:
        self.arrived(request)
        with suppress(OSError):  # the connection has already ended
            request.shutdown(socket.SHUT_RDWR)
            if sys.platform == "win32":  # only closing wakes the thread that reads the request
                socket.close(request.detach())

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's own signature
        """Log only the error's type, because the error's text or traceback could contain parts of the request."""
        kind, _, _ = sys.exc_info()
        if kind is not None and not issubclass(kind, OSError):  # OSError: the visitor went away
            _log.error("a request to the input page failed: %s", kind.__name__)


def _send_away(connection: socket.socket) -> None:
    with connection, suppress(OSError):  # the visitor has gone
        connection.settimeout(0)
        connection.send(_SENT_AWAY.format(paths.command()).encode("utf-8", "replace"))


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = REQUEST_LIMIT

    def do_GET(self) -> None:
        try:
            keyed = self._require_address(keyed=True)
        except _RefusedError as refused:
            self.send_error(refused.status)
            return
        self.server.arrived(self.connection)
        self._send(self.server.page.visit(self._cookies(), keyed=keyed))

    def do_POST(self) -> None:
        try:
            self._require_address(keyed=False)
            self._require_own_origin()
            form = self._form()
        except _RefusedError as refused:
            self.send_error(refused.status)
            self._discard()
            return
        self.server.arrived(self.connection)
        self._send(self.server.page.submit(self._cookies(), form))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 - http.server's own signature
        """Answer without details, because http.server's own error page repeats parts of the request."""
        self._send(unreadable(HTTPStatus(code), self.server.page.path))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own signature
        """Log nothing, because the client reads standard error, to which http.server logs."""

    def _require_address(self, *, keyed: bool) -> bool:
        """Require the page's Host and path. Return whether the requested address also contains the page's key.

        If `keyed` is false, an address with the key is refused, too.
        """
        # The person's browser uses exactly this host. Another name for 127.0.0.1 comes from a web page (DNS rebinding).
        if self._header("Host") != self.server.host:
            raise _RefusedError(HTTPStatus.FORBIDDEN)
        # Read the address as it was sent, because http.server normalises its attribute `path`.
        page, target = self.server.page, self.requestline.split()[1]
        if keyed and page.key and is_among(target, [f"{page.path}/{page.key}"]):
            return True
        if target != page.path:
            raise _RefusedError(HTTPStatus.NOT_FOUND)
        return False

    def _require_own_origin(self) -> None:
        if self._header("Origin") not in {None, f"http://{self.server.host}"}:
            raise _RefusedError(HTTPStatus.FORBIDDEN)
        if self._header("Sec-Fetch-Site") not in {None, "same-origin", "none"}:
            raise _RefusedError(HTTPStatus.FORBIDDEN)

    def _header(self, name: str) -> str | None:
        values = self.headers.get_all(name, [])
        if len(values) > 1:
            raise _RefusedError(HTTPStatus.BAD_REQUEST)
        return values[0].strip() if values else None

    def _cookies(self) -> list[str]:
        # Not with http.cookies, which stops at the first malformed cookie: the browser also sends the cookies of other
        # programs on 127.0.0.1.
        cookies = (part.strip().partition("=") for part in ";".join(self.headers.get_all("Cookie", [])).split(";"))
        return [value for name, _, value in cookies if name == COOKIE]

    def _form(self) -> dict[str, str]:
        kind = (self._header("Content-Type") or "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise _RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        length = self._body_length()
        body = self.rfile.read(length)
        if len(body) != length:
            raise _RefusedError(HTTPStatus.BAD_REQUEST)
        try:
            pairs = parse_qsl(
                body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=8
            )
        except ValueError:
            # From None: the exception contains the request.
            raise _RefusedError(HTTPStatus.BAD_REQUEST) from None
        form = dict(pairs)
        if len(form) != len(pairs):
            raise _RefusedError(HTTPStatus.BAD_REQUEST)
        return form

    def _body_length(self) -> int:
        if self._header("Transfer-Encoding") is not None:
            raise _RefusedError(HTTPStatus.NOT_IMPLEMENTED)
        length = self._header("Content-Length")
        if length is None:
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED)
        if not (length.isascii() and length.isdigit() and len(length) <= 15):
            raise _RefusedError(HTTPStatus.BAD_REQUEST)
        if int(length) > BODY_LIMIT:
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return int(length)

    def _send(self, reply: Reply) -> None:
        body = reply.body.encode("utf-8")
        try:
            self.send_response_only(reply.status)
            for name, value in (*_HEADERS, *reply.headers, ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        finally:
            self.server.page.replied()

    def _discard(self) -> None:
        """Read and discard the rest of the request, up to a limit.

        Closing the connection with unread data would reset the connection, and the visitor would not get the answer.
        """
        with suppress(OSError):  # the visitor has gone, or is overdue
            self.connection.shutdown(socket.SHUT_WR)
            left = _DISCARD_LIMIT
            while left > 0 and (chunk := self.rfile.read1(min(left, 65536))):
                left -= len(chunk)
