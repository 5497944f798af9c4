"""The one-time page on 127.0.0.1 where the person enters a value: the page's state and how each request changes it.

Always: the page is bound to the first visitor who clicks Continue. After that, a request from any other visitor stops
the page. `store` is called with at most one value, and never after the page has ended. The page sends its last answer
to the person before the caller gets the result. Security does not depend on a secret page address.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import TypeAlias

from claude_secrets.errors import Code, InputError, SecretsError
from claude_secrets.model import Done, Entered, InputQuestion, Outcome, Refused
from claude_secrets.prompt import page_replies
from claude_secrets.prompt.page_binding import Binding
from claude_secrets.prompt.page_form import Problem, read_form
from claude_secrets.prompt.page_html import claim_page, form_page
from claude_secrets.prompt.page_replies import Reply
from claude_secrets.prompt.page_server import PageServer
from claude_secrets.prompt.peer_user import UnseenError

LIFETIME = 600.0
"""Seconds that a page waits for the person."""

LINGER = 1.0
"""Seconds that the last answer remains available, for a second click on a button."""

_STORING_LIMIT = 60.0
_CLOSING_LIMIT = 5.0

StoreValue: TypeAlias = Callable[[Entered], Outcome]

_log = logging.getLogger(__name__)


class PageState(StrEnum):
    """The state of a page. `OPEN` and `CLAIMED` mean that the page waits; in all other states the page has ended."""

    OPEN = "open"
    CLAIMED = "claimed"
    STORED = "stored"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    STOPPED = "stopped"


class InputPage:
    """A page that asks the person one question, once, in a browser.

    The page calls `store` at most once, on one of its own threads. `store` may block, and it returns the page's result.
    `clock` and `lifetime` are in seconds. If `keyed` is true, the address by itself does not show the question: the
    first visit must use the address followed by `/` and `key`. Other users must not see this key.
    """

    def __init__(
        self,
        question: InputQuestion,
        *,
        store: StoreValue,
        clock: Callable[[], float] = time.monotonic,
        lifetime: float = LIFETIME,
        keyed: bool = False,
    ) -> None:
        self.question = question
        self.path = f"/{secrets.token_urlsafe(16)}"
        self._binding = Binding(self.path, lifetime, keyed=keyed)
        self.key = self._binding.key
        self._store = store
        self._clock = clock
        self._lifetime = lifetime
        self._lock = threading.Lock()
        self._state = PageState.OPEN
        self._storing = False
        self._result: Done | Refused | None = None
        self._decided = threading.Event()
        self._finished = threading.Event()
        self._listeners: list[Callable[[], None]] = []
        self._expires = self._closes = float("inf")
        self._server: PageServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start listening for visitors. The page's lifetime begins now.

        Raises:
            InputError: NO_INPUT_CHANNEL if the page cannot listen on 127.0.0.1 or cannot keep other users away.
        """
        try:
            self._server = PageServer(self)
        except UnseenError:
            raise InputError(
                Code.NO_INPUT_CHANNEL,
                "The input page cannot be opened: /proc/net/tcp does not show which user opens a connection.",
            ) from None
        except OSError:
            raise InputError(
                Code.NO_INPUT_CHANNEL, "The input page cannot be opened: listening on 127.0.0.1 failed."
            ) from None
        self._expires = self._clock() + self._lifetime
        self._thread = threading.Thread(
            target=self._serve, args=(self._server,), name="claude-secrets page", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The page's address, without the key. It is available after `start`."""
        if self._server is None:
            raise RuntimeError("the page was not started")
        return f"http://{self._server.host}{self.path}"

    @property
    def opened(self) -> bool:
        """Whether someone has clicked Continue."""
        return self._binding.claimed

    @property
    def state(self) -> PageState:
        """The page's current state."""
        return self._state

    def result(self) -> Done | Refused | None:
        """Return None while the page waits, then the result of `store`, or `Refused` if nothing was stored."""
        return self._result if self._finished.is_set() else None

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the page's result. Return whether the page has a result."""
        return self._finished.wait(timeout)

    def add_listener(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, on one of the page's threads, when the page has a result.

        If the page already has a result, call `callback` now, on the caller's thread.
        """
        with self._lock:
            if not self._finished.is_set():
                self._listeners.append(callback)
                return
        callback()

    def close(self) -> None:
        """End the page and stop listening. If a value is being stored now, this is completed and reported."""
        with self._lock:
            if not self._storing:
                self._end(
                    PageState.CANCELLED,
                    page_replies.nothing_stored(Code.CANCELLED, "The page was closed", self.question),
                )
            self._closes = float("-inf")
        self.replied()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_CLOSING_LIMIT)

    # Called by the page's server.

    def visit(self, cookies: Sequence[str], *, keyed: bool) -> Reply:
        """Answer a GET request. `keyed` says whether the requested address contains the key.

        If the page is claimed, a visit by anyone else stops the page.
        """
        with self._lock:
            self._expire()
            if self._state is PageState.OPEN:
                return self._invitation() if keyed or self._binding.may_claim(cookies) else page_replies.BY_ITS_FILE
            if not self._binding.knows(cookies):
                return self._intruded()
            if self._storing:
                return page_replies.STORING
            return self._form() if self._state is PageState.CLAIMED else self._ended()

    def submit(self, cookies: Sequence[str], form: Mapping[str, str]) -> Reply:
        """Answer a submitted form: a click on Continue, Store or Cancel."""
        with self._lock:
            self._expire()
            step = self._step(cookies, form)
        if isinstance(step, Reply):
            return step
        if step is not None:
            self._keep(step)
        # On a second click on "Store", the browser drops the first click's answer. Both clicks get the same answer.
        if not self._decided.wait(_STORING_LIMIT):
            return page_replies.STORING
        with self._lock:
            return self._ended()

    def replied(self) -> None:
        """Call the listeners, once, if the page has a result. The server calls this after each answer."""
        with self._lock:
            if self._result is None or self._finished.is_set():
                return
            self._finished.set()
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            try:
                listener()
            except Exception as error:  # noqa: BLE001 - one listener's failure does not stop the next
                _log.error("a listener of the input page failed: %s", type(error).__name__)

    # The steps. The caller of a step holds the lock, except for `_keep` and `_serve`.

    def _step(self, cookies: Sequence[str], form: Mapping[str, str]) -> Reply | Entered | None:
        """Return an answer to a form, a value to store now, or None if a value is already being stored."""
        if form.get("action") == "claim":
            return self._claim(cookies, form.get("visit", ""))
        if self._state is PageState.OPEN:
            return page_replies.NOT_YET
        if not self._binding.knows(cookies):
            return self._intruded()
        if self._state is not PageState.CLAIMED:
            return self._ended()
        return None if self._storing else self._take(form)

    def _take(self, form: Mapping[str, str]) -> Reply | Entered:
        if form.get("action") == "cancel":
            self._end(
                PageState.CANCELLED, page_replies.nothing_stored(Code.CANCELLED, "The person cancelled", self.question)
            )
            return self._ended()
        entered = read_form(form, self.question) if form.get("action") == "store" else None
        if entered is None:
            return page_replies.BAD
        if isinstance(entered, Problem):
            return self._form(entered)
        self._storing = True
        return entered

    def _claim(self, cookies: Sequence[str], visit: str) -> Reply:
        if not 16 <= len(visit) <= 64:
            return page_replies.BAD
        if self._state is PageState.OPEN:
            if not self._binding.may_claim(cookies):
                return page_replies.BY_ITS_FILE
            self._state = PageState.CLAIMED
            self._binding.claim(visit)
        if not self._binding.is_claimed_by(visit, cookies):
            return self._intruded()
        return Reply(HTTPStatus.SEE_OTHER, headers=self._binding.claimed_headers())

    def _invitation(self) -> Reply:
        page = claim_page(self.question, path=self.path, visit=secrets.token_urlsafe(16))
        return Reply(HTTPStatus.OK, page, self._binding.invitation())

    def _intruded(self) -> Reply:
        if self._state is PageState.CLAIMED and not self._storing:
            self._end(
                PageState.STOPPED,
                page_replies.nothing_stored(Code.CANCELLED, "Someone else opened the page", self.question),
            )
        return page_replies.STOPPED if self._state is PageState.STOPPED else page_replies.CLOSED

    def _form(self, problem: Problem | None = None) -> Reply:
        minutes = round(self._lifetime / 60)
        page = form_page(
            self.question,
            path=self.path,
            closes=f"This page closes {minutes} minute{'' if minutes == 1 else 's'} after the agent asked.",
            problem=problem,
        )
        return Reply(HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK, page)

    def _keep(self, entered: Entered) -> None:
        outcome: Outcome = _INTERNAL
        try:
            outcome = self._store(entered)
        except SecretsError as error:
            outcome = Refused(error)
        except BaseException as error:  # noqa: BLE001 - otherwise the waiting caller would get no result
            _log.error("storing the entered value failed: %s", type(error).__name__)
        with self._lock:
            self._storing = False
            if isinstance(outcome, Done):
                self._end(PageState.STORED, outcome)
            else:
                self._end(PageState.REFUSED, outcome if isinstance(outcome, Refused) else _INTERNAL)

    def _end(self, state: PageState, result: Done | Refused) -> None:
        if self._result is not None:
            return
        self._state, self._result = state, result
        # A stopped page remains available, so that the visitor who claimed the page can see why it stopped.
        self._closes = min(self._closes, self._expires if state is PageState.STOPPED else self._clock() + LINGER)
        self._decided.set()

    def _expire(self) -> None:
        if self._clock() >= self._expires and not self._storing:
            self._end(
                PageState.EXPIRED,
                page_replies.nothing_stored(Code.TIMED_OUT, "The page was not answered in time", self.question),
            )

    def _ended(self) -> Reply:
        match self._state, self._result:
            case PageState.STORED, Done() as done:
                return page_replies.stored(self.question, done)
            case PageState.REFUSED, Refused(error=error):
                return page_replies.refused(error)
            case PageState.CANCELLED, _:
                return page_replies.CANCELLED
            case PageState.STOPPED, _:
                self._closes = min(self._closes, self._clock() + LINGER)
                return page_replies.STOPPED
            case _:
                return page_replies.CLOSED

    def _serve(self, server: PageServer) -> None:
        try:
            with server:
                while not self._over():
                    server.accept_visitors()
                    server.drop_overdue()
        finally:
            with self._lock:
                if not self._storing:
                    self._end(PageState.REFUSED, _INTERNAL)
            self.replied()

    def _over(self) -> bool:
        with self._lock:
            self._expire()
            expired, over = self._state is PageState.EXPIRED, self._clock() >= self._closes
        if expired:
            self.replied()
        return over


_INTERNAL = Refused(SecretsError(Code.INTERNAL, "Claude Secrets has an internal error and could not store the value."))
