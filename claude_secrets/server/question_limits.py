"""Limits on questions to the person: refusals are remembered, and unanswered or refused questions lead to a pause.

Always: after three unanswered questions in a row, the person is not asked for ten minutes. If the person refuses three
times within ten minutes in a project, no further question is asked for that project until one of these refusals is ten
minutes old. The methods may be called from any thread.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from claude_secrets.model import Channel
from claude_secrets.policy.refusals import NO_HOLDS_SECONDS

UNANSWERED_LIMIT: Final = 3
REFUSALS_LIMIT: Final = 3
PAUSE_SECONDS: Final = 600.0
"""The length of a pause, and the period in which a project's refusals are counted."""

Subject: TypeAlias = tuple[str, str]
"""A project, and what the person is asked about in it."""


class NotAsked(NamedTuple):
    """Why the person is not asked. `said_no` is whether they refused the same thing within the last ten minutes."""

    channel: Channel
    said_no: bool = False


class QuestionLimits:
    """The limits on the questions of this process. `now` returns the time in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._noes: dict[Subject, float] = {}
        self._refusals: dict[str, list[float]] = {}
        self._unanswered = 0
        self._paused_until = float("-inf")

    def not_asked(self, project: str, subjects: Sequence[Subject]) -> NotAsked | None:
        """Return why the person is not asked about these subjects, or None if they can be asked."""
        with self._lock:
            now = self._now()
            self._noes = {what: since for what, since in self._noes.items() if now - since < NO_HOLDS_SECONDS}
            if any(what in self._noes for what in subjects):
                return NotAsked(Channel.NONE, said_no=True)
            if now < self._paused_until:
                return NotAsked(Channel.PAUSED)
            if len(self._recent(project)) >= REFUSALS_LIMIT:
                return NotAsked(Channel.REFUSED)
            return None

    def answered(self) -> None:
        """Record that the person answered a question."""
        with self._lock:
            self._unanswered = 0

    def refused(self, project: str, subject: Subject) -> None:
        """Record that the person refused a question about a subject."""
        with self._lock:
            self._unanswered = 0
            self._noes[subject] = self._now()
            self._refusals[project] = [*self._recent(project), self._now()]

    def unanswered(self) -> None:
        """Record that nobody answered a question."""
        with self._lock:
            self._unanswered += 1
            if self._unanswered >= UNANSWERED_LIMIT:
                self._unanswered = 0
                self._paused_until = self._now() + PAUSE_SECONDS

    def _recent(self, project: str) -> list[float]:
        return [since for since in self._refusals.get(project, ()) if self._now() - since < PAUSE_SECONDS]
