"""The one-time page's transport: HTTP on 127.0.0.1, one request per connection, with a limit on everything.

Always: a request reaches the page only with its exact Host and path, and a form from another Origin does not reach it.
No part of a request is logged or repeated. No visitor can hold a thread for longer than the limits below. Another user
of the machine is sent away before anything is read (`peer_user`).
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

from claude_secrets.model import VALUE_LIMIT
from claude_secrets.prompt import peer_user
from claude_secrets.prompt.page_binding import COOKIE, is_among
from claude_secrets.prompt.page_html import CONTENT_SECURITY_POLICY
from claude_secrets.prompt.page_replies import Reply, unreadable
from claude_secrets.prompt.peer_user import Visit

BODY_LIMIT = 6 * VALUE_LIMIT + 4096
"""Bytes of a request's body, at most: a form sends a newline, the byte that grows most, as %0D%0A."""

REQUEST_LIMIT = 10.0
"""Seconds that a whole request may take to arrive."""

VISITORS_LIMIT = 32
"""Requests that may be arriving at once; another one replaces the oldest."""

_WAITING_LIMIT = 512
"""Connections that may wait to be accepted. They are looked up together, so many cost little more than one."""

_DISCARD_LIMIT = 4 * BODY_LIMIT
_POLL = 0.1

_SENT_AWAY = (
    b"HTTP/1.0 403 Forbidden\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    b"This page is open to one user of this machine only.\n"
)

_HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
    # Not no-referrer: with that a browser sends "Origin: null" with the form.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Connection", "close"),
)

_log = logging.getLogger(__name__)


class Visited(Protocol):
    """The page as its transport sees it. Its methods are called from several threads."""

    path: str
    key: str

    def visit(self, cookies: Sequence[str], *, keyed: bool) -> Reply:
        """Return the answer to a GET; `cookies` are the visitor's for this page; `keyed`: the address held the key."""

    def submit(self, cookies: Sequence[str], form: Mapping[str, str]) -> Reply:
        """Return the answer to a form."""

    def replied(self) -> None:
        """Note that an answer was sent, or that it could not be."""


class _RefusedError(Exception):
    """A request that never reaches the page."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


class PageServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens on a random port of 127.0.0.1. Call `accept_visitors` and `drop_overdue` in turn; close it at the end.

    Raises:
        OSError: it cannot listen there; `peer_user.UnseenError` if the system does not show whose a connection is.
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
        """Wait a moment for connections; answer the person's own (and root's), and send the others away."""
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
        with suppress(OSError):  # no connection, or no further one
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
        """Bind so that no other program can listen on the same port, on Windows either."""
        if sys.platform == "win32":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        super().server_bind()

    # Any, here and below: socketserver's own type of a request includes datagrams.

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the request a deadline and a thread; if too many are arriving, drop the oldest."""
        with self._lock:
            oldest = next(iter(self._arriving)) if len(self._arriving) >= VISITORS_LIMIT else None
            self._arriving[request] = time.monotonic() + REQUEST_LIMIT
        if oldest is not None:
            self._drop(oldest)
        super().process_request(request, client_address)

    def arrived(self, request: socket.socket) -> None:
        """Remove the deadline: the whole request was read, and its answer may take longer."""
        with self._lock:
            self._arriving.pop(request, None)

    def shutdown_request(self, request: Any) -> None:
        """End one connection."""
        self.arrived(request)
        super().shutdown_request(request)

    def drop_overdue(self) -> None:
        """Drop the requests that took too long to arrive."""
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
        with suppress(OSError):  # it has ended by itself
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's own signature
        """Log only the error's type: its text or traceback could contain parts of the request."""
        kind, _, _ = sys.exc_info()
        if kind is not None and not issubclass(kind, OSError):  # OSError: the visitor went away
            _log.error("a request to the input page failed: %s", kind.__name__)


def _send_away(connection: socket.socket) -> None:
    with connection, suppress(OSError):  # the visitor has gone
        connection.settimeout(0)
        connection.send(_SENT_AWAY)


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
        """Answer without detail: http.server's own page repeats parts of the request."""
        self._send(unreadable(HTTPStatus(code), self.server.page.path))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own signature
        """Log nothing: the client reads standard error."""

    def _require_address(self, *, keyed: bool) -> bool:
        """Return whether the address holds the page's key after its path. With `keyed` false it must not."""
        # Only a web page uses another name that leads here (DNS rebinding), not the person.
        if self._header("Host") != self.server.host:
            raise _RefusedError(HTTPStatus.FORBIDDEN)
        # As it was sent: http.server normalises its own `path`.
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
        # By hand: http.cookies stops at the first odd cookie, and other programs on 127.0.0.1 set cookies here, too.
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
            # From None: the exception carries the request.
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
        """Read and drop some of the unread request: closing first would reset the connection and lose the answer."""
        with suppress(OSError):  # the visitor has gone, or is overdue
            self.connection.shutdown(socket.SHUT_WR)
            left = _DISCARD_LIMIT
            while left > 0 and (chunk := self.rfile.read1(min(left, 65536))):
                left -= len(chunk)
