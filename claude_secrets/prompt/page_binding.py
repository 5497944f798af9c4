"""The binding of a one-time page to the first visitor who continues; a keyed page also requires its key.

Always: keys and cookies are compared in constant time; a cookie is valid for one page only.
"""

import hmac
import secrets
from collections.abc import Sequence
from typing import Final, TypeAlias

COOKIE: Final = "claude-secrets-visitor"

Headers: TypeAlias = tuple[tuple[str, str], ...]


class Binding:
    """The binding of the page at `path`, which lives for `seconds`.

    `key` is empty if the first visitor needs only the address.
    """

    def __init__(self, path: str, seconds: float, *, keyed: bool) -> None:
        self.key = secrets.token_urlsafe(32) if keyed else ""
        self._path = path
        self._seconds = int(seconds)
        self._visit = ""
        self._cookie = ""

    @property
    def claimed(self) -> bool:
        """Whether someone has continued."""
        return bool(self._cookie)

    def may_claim(self, cookies: Sequence[str]) -> bool:
        """Whether a visitor may continue, if nobody has yet."""
        return not self.key or is_among(self.key, cookies)

    def claim(self, visit: str) -> None:
        """Bind the page to the visitor to whom it was shown with the id `visit`."""
        self._visit, self._cookie = visit, secrets.token_urlsafe(32)

    def is_claimed_by(self, visit: str, cookies: Sequence[str]) -> bool:
        """Whether this is the visitor. The same `visit` again is a double click whose first answer was dropped."""
        return is_among(self._visit, [visit]) or self.knows(cookies)

    def knows(self, cookies: Sequence[str]) -> bool:
        """Whether these are the cookies of the visitor to whom the page is bound."""
        return self.claimed and is_among(self._cookie, cookies)

    def invitation(self) -> Headers:
        """Return the headers that let a visitor with the key continue.

        They come with the page itself: after a redirect, a visit that began in a file sends no strict cookie.
        """
        return (self._bound_by(self.key),) if self.key else ()

    def claimed_headers(self) -> Headers:
        """Return the headers that redirect the visitor to the form and identify them from then on."""
        return (("Location", self._path), self._bound_by(self._cookie))

    def _bound_by(self, value: str) -> tuple[str, str]:
        life = f"Max-Age={self._seconds}; HttpOnly; SameSite=Strict"
        return ("Set-Cookie", f"{COOKIE}={value}; Path={self._path}; {life}")


def is_among(mine: str, given: Sequence[str]) -> bool:
    """Whether `mine` is one of the given texts."""
    return any(hmac.compare_digest(each.encode(), mine.encode()) for each in given)
