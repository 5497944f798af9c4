"""Putting `[secret://NAME]` in the place of the values in a stream.

Always: no byte of a value that was found comes out, also where several overlap.
"""

from collections.abc import Callable
from typing import Final

from claude_secrets.redaction import views
from claude_secrets.redaction.finder import Finder

_LONG: Final = 1 << 11
_SHARE: Final = 8
"""Of more than `_LONG` bytes that may become a value, all are searched again only when an eighth of them is new."""


def reference(name: str) -> bytes:
    """What is put in the place of a value of that name."""
    return f"[secret://{name}]".encode()


class Redactor:
    """Replaces the values of secrets in one stream; `spell` says what is put in their place."""

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
        """Take more of the stream, and return what is certain by now."""
        self._held += data
        self._unsearched += len(data)
        if self._unsearched * _SHARE < len(self._held) > _LONG:
            return b""
        return self._let_go(final=False)

    def idle(self) -> bytes:
        """Return what is held back by chance: after a while in which nothing came somebody may be waiting for it."""
        sure = self._let_go(final=False) if self._unsearched else b""
        if not self._finder.is_chance(self._held, before=self._before):
            return sure
        early, self._shown = self._plain(self._replaced, len(self._held)), len(self._held)
        return sure + early

    def finish(self) -> bytes:
        """Return the rest at the end of the stream."""
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
