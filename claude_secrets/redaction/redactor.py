"""Replaces the values in a stream with `[secret://NAME]`.

Always: the output contains no byte of a value that was found, even if several values overlap.
"""

from collections.abc import Callable
from typing import Final

from claude_secrets.redaction import views
from claude_secrets.redaction.finder import Finder

_LONG: Final = 1 << 11
_SHARE: Final = 8
"""If more than `_LONG` bytes may become a value, they are searched again only when an eighth of them is new."""


def reference(name: str) -> bytes:
    """Return the text that replaces the value of the secret `name`."""
    return f"[secret://{name}]".encode()


class Redactor:
    """Replaces the values of secrets in one stream; `spell` returns the text that replaces a value."""

    def __init__(self, finder: Finder, spell: Callable[[str], bytes] = reference) -> None:
        self._finder = finder
        self._spell = spell
        self._held = b""
        self._unsearched = 0
        self._before: int | None = None
        self._shown = 0
        self._replaced = 0
        self._last = b""

    def feed(self, data: bytes) -> bytes:
        """Process more of the stream, and return the output that more data cannot change."""
        self._held += data
        self._unsearched += len(data)
        if self._unsearched * _SHARE < len(self._held) > _LONG:
            return b""
        return self._let_go(final=False)

    def idle(self) -> bytes:
        """Return held-back bytes that are probably not a value. Call this after a pause: someone may wait for them."""
        sure = self._let_go(final=False) if self._unsearched else b""
        if not self._finder.is_chance(self._held, before=self._before):
            return sure
        early, self._shown = self._plain(self._replaced, len(self._held)), len(self._held)
        return sure + early

    def finish(self) -> bytes:
        """Return the remaining output at the end of the stream."""
        return self._let_go(final=True)

    def _let_go(self, *, final: bool) -> bytes:
        self._unsearched = 0
        finds, known = self._finder.find(self._held, before=self._before, final=final)
        parts, done = [], self._replaced
        for one in finds:
            if one.start >= known:
                break
            spelled = self._spell(one.name)
            if one.start >= done:
                parts += [self._plain(done, one.start), spelled]
                done = one.start
            elif one.end > done and spelled != self._last:
                parts.append(spelled)
            if one.end > done:
                parts.append(views.renditions(self._held[done : one.end]))
                self._last, done = spelled, one.end
        parts.append(self._plain(done, known))
        if known:
            self._before = self._held[known - 1]
        self._held, self._shown = self._held[known:], max(0, self._shown - known)
        self._replaced = max(0, done - known)
        return b"".join(parts)

    def _plain(self, start: int, end: int) -> bytes:
        return self._held[max(start, self._shown) : end]
