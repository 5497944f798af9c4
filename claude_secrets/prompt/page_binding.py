"""Binds a one-time page to the first visitor who clicks Continue. A keyed page also requires the page's key.

Always: keys and cookies are compared in constant time; a cookie is valid for one page only.
"""

import hmac
import secrets
from collections.abc import Sequence
from typing import Final, TypeAlias

COOKIE: Final = "claude-secrets-visitor"

Headers: TypeAlias = tuple[tuple[str, str], ...]


class Binding:
    """The binding of one page to one visitor. `path` is the page's path, `seconds` is the page's lifetime.

    `key` is empty if the page is not keyed: then the first visitor needs only the address.
    """

    def __init__(self, path: str, seconds: float, *, keyed: bool) -> None:
        self.key = secrets.token_urlsafe(32) if keyed else ""
        self._path = path
        self._seconds = int(seconds)
        self._visit = ""
        self._cookie = ""

    @property
    def claimed(self) -> bool:
        """Whether a visitor has clicked Continue."""
        return bool(self._cookie)

    def may_claim(self, cookies: Sequence[str]) -> bool:
        """Return whether a visitor with these cookies may be the first to click Continue."""
        return not self.key or is_among(self.key, cookies)

    def claim(self, visit: str) -> None:
        """Bind the page to the visitor who clicked Continue. `visit` is the id in this visitor's copy of the page."""
        self._visit, self._cookie = visit, secrets.token_urlsafe(32)

    def is_claimed_by(self, visit: str, cookies: Sequence[str]) -> bool:
        """Return whether this visitor has claimed the page.

        A double click on Continue sends the same `visit` twice, and the browser drops the first answer.
        """
        return is_among(self._visit, [visit]) or self.knows(cookies)

    def knows(self, cookies: Sequence[str]) -> bool:
        """Return whether these cookies belong to the visitor who claimed the page."""
        return self.claimed and is_among(self._cookie, cookies)

    def invitation(self) -> Headers:
        """Return the headers that set a cookie with the key, so that the visitor can click Continue.

        The page itself is sent with these headers. A redirect that sets the cookie would fail: if a navigation began in
        a file, browsers do not send SameSite=Strict cookies after a redirect.
        """
        return (self._bound_by(self.key),) if self.key else ()

    def claimed_headers(self) -> Headers:
        """Return the headers that redirect the visitor to the form and set the cookie that identifies this visitor."""
        return (("Location", self._path), self._bound_by(self._cookie))

    def _bound_by(self, value: str) -> tuple[str, str]:
        life = f"Max-Age={self._seconds}; HttpOnly; SameSite=Strict"
        return ("Set-Cookie", f"{COOKIE}={value}; Path={self._path}; {life}")


def is_among(mine: str, given: Sequence[str]) -> bool:
    """Return whether `mine` is one of the `given` texts, comparing in constant time."""
    return any(hmac.compare_digest(each.encode(), mine.encode()) for each in given)
