"""Honest and hostile visitors of the one-time page over raw sockets, and a store that records what it receives."""

import re
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlencode

from claude_secrets.model import Done, Entered, InputQuestion, Outcome
from claude_secrets.prompt.page import InputPage

DEADLINE = 20.0
"""Seconds that an answer may take before the test fails."""

FORM = "application/x-www-form-urlencoded"
STORED = Done(text="canary-text", data={"version": 4})
QUESTION = InputQuestion(name="GITEA_TOKEN", project="/home/work/api", prompt="to open issues")


Serve: TypeAlias = Callable[[InputPage], InputPage]
"""Starts a page and returns it."""


class Clock:
    """A clock that does not move until a test sets it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._reads = 0

    def __call__(self) -> float:
        self._reads += 1
        return self.now

    def be_seen(self) -> None:
        """Wait until every thread that polls this clock has seen its time and acted on it."""
        enough, end = self._reads + 10, time.monotonic() + DEADLINE
        while self._reads < enough and time.monotonic() < end:
            time.sleep(0.01)


class RecordingStore:
    """A store that keeps what it receives, and returns `outcome` or the result of `instead`."""

    def __init__(self, outcome: Outcome = STORED, instead: Callable[[], Outcome] | None = None) -> None:
        self.entered: list[Entered] = []
        self._answer = instead or (lambda: outcome)

    def __call__(self, entered: Entered) -> Outcome:
        self.entered.append(entered)
        return self._answer()


@dataclass(frozen=True)
class Answer:
    """The page's answer; `status` is 0 if the page closed the connection without one."""

    status: int
    head: str
    body: str

    def header(self, name: str) -> str | None:
        found = re.search(rf"^{name}: (.*?)\r?$", self.head, re.IGNORECASE | re.MULTILINE)
        return found[1] if found else None


def address(page: InputPage) -> tuple[str, str]:
    """Return the page's host with port, and its path."""
    host, slash, path = page.url.removeprefix("http://").partition("/")
    return host, slash + path


def connect(page: InputPage) -> socket.socket:
    host, _, port = address(page)[0].partition(":")
    return socket.create_connection((host, int(port)), timeout=DEADLINE)


def read(connection: socket.socket) -> Answer:
    """Read the complete answer on `connection`."""
    data = b""
    with suppress(ConnectionError):  # the page closed the connection
        while part := connection.recv(65536):
            data += part
    head, _, body = data.decode("utf-8").partition("\r\n\r\n")
    return Answer(int(head.split()[1]) if head else 0, head, body)


def send(page: InputPage, data: bytes) -> Answer:
    with connect(page) as connection:
        with suppress(ConnectionError):  # refused before everything was sent; there may still be an answer
            connection.sendall(data)
        return read(connection)


def request(
    page: InputPage,
    *,
    method: str = "GET",
    path: str | None = None,
    headers: Sequence[tuple[str, str]] | None = None,
    body: bytes = b"",
) -> Answer:
    """Send one request; without `headers` it has only the right Host."""
    host, own = address(page)
    lines = [f"{method} {own if path is None else path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in ([("Host", host)] if headers is None else headers)]
    return send(page, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)


class Visitor:
    """A visitor with a browser: sends the right headers and the cookie it received."""

    def __init__(self, page: InputPage, cookie: str | None = None) -> None:
        self.page = page
        self.cookie = cookie

    def headers(self, **changed: str | None) -> list[tuple[str, str]]:
        """Return the headers that a browser sends with the page's form.

        `changed` replaces headers, named with _ for -; None leaves one out.
        """
        host = address(self.page)[0]
        headers: dict[str, str | None] = {
            "Host": host,
            "Origin": f"http://{host}",
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": FORM,
            "Cookie": self.cookie,
        }
        headers |= {name.replace("_", "-"): value for name, value in changed.items()}
        return [(name, value) for name, value in headers.items() if value is not None]

    def get(self) -> Answer:
        return request(self.page, headers=self.headers(Origin=None, Content_Type=None))

    def post(self, form: Mapping[str, str] | bytes, **changed: str | None) -> Answer:
        body = form if isinstance(form, bytes) else urlencode(form).encode()
        changed = {"Content_Length": str(len(body)), **changed}
        return request(self.page, method="POST", headers=self.headers(**changed), body=body)

    def head(self, length: int) -> bytes:
        """Return the head of a form whose body has `length` bytes, for a test to send itself."""
        lines = [f"{name}: {value}" for name, value in self.headers(Content_Length=str(length))]
        return ("\r\n".join([f"POST {self.page.path} HTTP/1.1", *lines]) + "\r\n\r\n").encode()

    def open(self) -> str:
        """Open the claim page, and return the token of this visit."""
        found = re.search(r'name="visit" value="([^"]+)"', self.get().body)
        assert found, "the page shows no claim"
        return found[1]

    def claim(self, visit: str | None = None) -> Answer:
        answer = self.post({"action": "claim", "visit": visit or self.open()})
        cookie = answer.header("Set-Cookie")
        if cookie is not None:
            self.cookie = cookie.partition(";")[0]
        return answer

    def store(self, value: str, access: str = "use-only") -> Answer:
        """Send the form as a browser does, with every newline as CRLF."""
        return self.post({"value": value.replace("\n", "\r\n"), "access": access, "action": "store"})
