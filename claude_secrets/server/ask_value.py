"""Ask the person for a value (input_secret): by the client's URL elicitation, else in a browser, else by a dialog.

Always: the value goes from the page or the dialog to the gate, never through the client. Calls for the same secret in
the same project share one page. A call waits for at most `CALL_SECONDS`. A page waits for at most its lifetime.
"""

import sys
import threading
import time
from asyncio import get_running_loop
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_urlsafe
from typing import Final, TypeAlias

import anyio
import anyio.to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolRequestParams,
    ElicitRequest,
    ElicitRequestURLParams,
    ElicitResult,
    InputRequiredResult,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from claude_secrets.errors import Code, InputError
from claude_secrets.model import Access, Channel, Done, Entered, InputQuestion, Outcome, Refused
from claude_secrets.policy.planted import grounds_of
from claude_secrets.prompt import wsl
from claude_secrets.prompt.browser import open_page
from claude_secrets.prompt.dialog import DialogAnswer, Dialogs
from claude_secrets.prompt.entry_file import EntryFile
from claude_secrets.prompt.page import LIFETIME, InputPage
from claude_secrets.server import unanswered
from claude_secrets.server.client_hooks import Context, answers_by_hooks
from claude_secrets.server.unanswered import PAGES_LIMIT, refused
from claude_secrets.untrusted_text import plain, quoted

CALL_SECONDS: Final = 50.0
"""How long one call waits for the person. Some clients give up after a minute."""

DIALOG_PROMPT_LIMIT: Final = 300
"""The maximum number of characters of the agent's own words in a dialog."""

_UNSEEN_VISITORS: Final = ("darwin", "win32")
_KEY: Final = "page"

Key: TypeAlias = tuple[str, str]


class _OpenPage:
    """A page of this process, with its store function, its start time, and how it was shown to the person."""

    def __init__(self, page: InputPage, store: Callable[[Entered], Outcome], started: float) -> None:
        self.page = page
        self.file: EntryFile | None = None
        self.store = store
        self.started = started
        self.elicitation_id = token_urlsafe(16)
        self.in_browser = False
        self.turn = anyio.Lock()
        self.by_dialog: Done | Refused | None = None


class ValuePrompt:
    """Asks the person for values, and manages the pages of this process.

    `environment` shows whether there is a display. `dialogs` makes the dialogs for a project's directory. `now` returns
    the time in seconds. If `asks` is false, the person is never asked, because an agent started this server.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        dialogs: Callable[[Path], Dialogs],
        now: Callable[[], float] = time.monotonic,
        *,
        asks: bool = True,
        platform: str = sys.platform,
    ) -> None:
        self._asks = asks
        self._platform = platform
        self._environment = environment
        self._dialogs = dialogs
        self._now = now
        self._pages: dict[Key, _OpenPage] = {}
        self._waiting: set[anyio.CancelScope] = set()
        self._ended = False

    def end(self) -> None:
        """End every waiting call and close all pages."""
        self._ended = True
        for entry in self._pages.values():
            entry.page.close()
        for scope in self._waiting:
            scope.cancel()

    async def ask(
        self,
        context: Context,
        params: CallToolRequestParams,
        question: InputQuestion,
        store: Callable[[Entered], Outcome],
    ) -> Done | Refused | InputRequiredResult:
        """Ask the person for a value, or use the page that already asks for it. Wait for at most `CALL_SECONDS`."""
        if not self._asks:
            return unanswered.not_asked(question)
        key = (question.project, question.name)
        self._forget_old()
        entry = self._pages.get(key)
        if entry is None:
            if sum(other.page.result() is None for other in self._pages.values()) >= PAGES_LIMIT:
                return unanswered.too_many(question)
            # If the page cannot see which user visits it, the address must not suffice: other users can read the
            # address in the browser's command line.
            unseen = self._platform in _UNSEEN_VISITORS or wsl.is_visited_from_windows()
            keyed = unseen and not _elicits_urls(context)
            entry = _OpenPage(InputPage(question, store=store, keyed=keyed), store, self._now())
            try:
                entry.page.start()
            except InputError as error:
                raise unanswered.no_page(error, question, self._environment) from None
            self._pages[key] = entry
        result: Done | Refused | InputRequiredResult | None = None
        with anyio.move_on_after(CALL_SECONDS) as scope:
            self._waiting.add(scope)
            result = await self._show(context, params, question, entry) or await _result_of(entry.page)
        self._waiting.discard(scope)
        if isinstance(result, InputRequiredResult):
            return result
        result = result or entry.by_dialog or entry.page.result()
        if result is None:
            return unanswered.stopping() if self._ended else unanswered.waiting(question, self._environment)
        self._pages.pop(key, None)
        if isinstance(result, Done):
            await self._tell_client(context, entry)
        return result

    def _forget_old(self) -> None:
        """Forget pages that ended long ago and whose result no call has collected."""
        for key, entry in list(self._pages.items()):
            if entry.page.result() is not None and self._now() - entry.started > 2 * LIFETIME:
                del self._pages[key]

    async def _show(
        self, context: Context, params: CallToolRequestParams, question: InputQuestion, entry: _OpenPage
    ) -> Done | Refused | InputRequiredResult | None:
        """Show the page, and return None if the call must wait for the page. Otherwise return the call's result."""
        page = entry.page
        if page.result() is not None:
            return None
        if not _elicits_urls(context):
            return None if page.opened else await self._open_browser(question, entry)
        if answers_by_hooks(context) and not page.opened and await self._is_in_browser(question, entry):
            return None
        if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            answer = None if page.opened else await _elicit(context, question, entry)
        else:
            answer = _answer(params, page)
            if answer is None and not page.opened:
                return _input_required(question, page)
        if answer is not None and answer.action != "accept":
            page.close()
            return refused(Code.CANCELLED, f"The person refused; '{question.name}' was not stored.")
        return None

    async def _is_in_browser(self, question: InputQuestion, entry: _OpenPage) -> bool:
        """Open the page in the person's browser, but not a second time. Returns whether the browser was opened."""
        if not entry.in_browser:
            forbidden = grounds_of(Path(question.project))
            entry.in_browser = await anyio.to_thread.run_sync(
                lambda: open_page(
                    _way_in(entry, self._platform),
                    self._environment,
                    forbidden=forbidden,
                    platform=self._platform,
                    entry_file=lambda: _file_of(entry, seconds=wsl.RELAY_SECONDS),
                )
            )
        return entry.in_browser

    async def _open_browser(self, question: InputQuestion, entry: _OpenPage) -> Done | Refused | None:
        if await self._is_in_browser(question, entry):
            return None
        dialogs = self._dialogs(Path(question.project))
        if await anyio.to_thread.run_sync(dialogs.available):
            return await self._ask_by_dialog(dialogs, question, entry)
        entry.page.close()
        return unanswered.no_channel(question, self._environment)

    async def _ask_by_dialog(self, dialogs: Dialogs, question: InputQuestion, entry: _OpenPage) -> Done | Refused:
        """Ask by a dialog, which closes when the call ends. A second call gets the first call's result."""
        async with entry.turn:
            if entry.by_dialog is not None:
                return entry.by_dialog
            value = await _typed(dialogs, question)
            result: Done | Refused = refused(
                Code.CANCELLED, f"The person entered nothing; '{question.name}' was not stored."
            )
            if value is not None:
                access = await _chosen(dialogs, question)
                entered = Entered(value=value, access=access, question=question, channel=Channel.DIALOG)
                with anyio.CancelScope(shield=True):  # the result of storing is always reported
                    outcome = await anyio.to_thread.run_sync(lambda: entry.store(entered))
                    result = outcome if isinstance(outcome, Done | Refused) else result
            entry.by_dialog = result
            entry.page.close()
        return result

    async def _tell_client(self, context: Context, entry: _OpenPage) -> None:
        """Protocols before 2026-07-28: tell the client that the page's address is no longer needed."""
        if _elicits_urls(context) and context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            await context.session.send_elicit_complete(entry.elicitation_id, related_request_id=context.request_id)


def _way_in(entry: _OpenPage, platform: str) -> str:
    """Return the browser's argument: the page's address, or the path of a file with the address of a keyed page.

    In WSL a browser on Linux gets the address of a keyed page, because a browser in a sandbox cannot read our files.
    """
    if entry.page.key and platform in _UNSEEN_VISITORS:
        return str(_file_of(entry))
    return _address_of(entry)


def _address_of(entry: _OpenPage) -> str:
    return f"{entry.page.url}/{entry.page.key}" if entry.page.key else entry.page.url


def _file_of(entry: _OpenPage, *, seconds: int = 0) -> Path:
    """Return the path of the page's entry file, and make the file if it does not exist yet."""
    if entry.file is None:
        entry.file = EntryFile(_address_of(entry), seconds=seconds)
        entry.page.add_listener(entry.file.remove)
    return entry.file.path


async def _typed(dialogs: Dialogs, question: InputQuestion) -> str | None:
    """Return the text that the person types into a dialog, which closes when the call ends."""
    cancelled, text = threading.Event(), _dialog_text(question)
    try:
        return await anyio.to_thread.run_sync(
            lambda: dialogs.read_hidden("Claude Secrets", text, seconds=CALL_SECONDS, cancelled=cancelled),
            abandon_on_cancel=True,
        )
    finally:
        cancelled.set()


async def _chosen(dialogs: Dialogs, question: InputQuestion) -> Access:
    """Ask whether agents may read the value. Without an answer, use the secret's current access or the default."""
    cancelled = threading.Event()
    text = f"May agents read the value of {question.name}?\nIt can then appear in chats and their transcripts."
    try:
        answer = await anyio.to_thread.run_sync(
            lambda: dialogs.confirm("Claude Secrets: who may read it", text, seconds=CALL_SECONDS, cancelled=cancelled),
            abandon_on_cancel=True,
        )
    finally:
        cancelled.set()
    return {DialogAnswer.YES: Access.READABLE, DialogAnswer.NO: Access.USE_ONLY}.get(answer, question.access)


def _dialog_text(question: InputQuestion) -> str:
    """Return the question as text that is clear without other context."""
    lines = [
        f"An agent in {_shown(question.project)} asks you for the secret {question.name}.",
        "What you enter goes to the encrypted store, not into the chat.",
        "After that, you are asked whether agents may read the value.",
    ]
    if question.replaces is not None:
        lines.append(f"It replaces version {question.replaces}.")
    if question.store is not None:
        lines.append(f"Not your usual store: {_shown(question.store)}")
    if question.about:
        lines.append(f"The project's note: {quoted(question.about)}")
    if plain(question.prompt):
        said = quoted(question.prompt, limit=DIALOG_PROMPT_LIMIT)
        lines.append(f"The agent's own words, not checked by anyone: {said}")
    return "\n".join(lines)


def _shown(path: str) -> str:
    return plain(path, mark="\ufffd")


async def _result_of(page: InputPage) -> Done | Refused | None:
    ended, loop = anyio.Event(), get_running_loop()

    def tell() -> None:
        with suppress(RuntimeError):  # the loop is closed: no call waits now
            loop.call_soon_threadsafe(ended.set)

    page.add_listener(tell)
    await ended.wait()
    return page.result()


async def _elicit(context: Context, question: InputQuestion, entry: _OpenPage) -> ElicitResult:
    """Protocols before 2026-07-28: the client shows the page's address."""
    try:
        return await context.session.elicit_url(
            _message(question), entry.page.url, entry.elicitation_id, related_request_id=context.request_id
        )
    except MCPError:  # the client cannot show the address
        return ElicitResult(action="cancel")


def _elicits_urls(context: Context) -> bool:
    capabilities = context.session.client_capabilities
    elicitation = capabilities.elicitation if capabilities is not None else None
    # The SDK's own check also accepts a client that supports only forms.
    return elicitation is not None and elicitation.url is not None


def _input_required(question: InputQuestion, page: InputPage) -> InputRequiredResult:
    request = ElicitRequest(params=ElicitRequestURLParams(message=_message(question), url=page.url))
    return InputRequiredResult(input_requests={_KEY: request}, request_state=page.url)


def _answer(params: CallToolRequestParams, page: InputPage) -> ElicitResult | None:
    """Protocol 2026-07-28: return the client's answer if the sealed state names this page; otherwise None."""
    response = (params.input_responses or {}).get(_KEY)
    return response if params.request_state == page.url and isinstance(response, ElicitResult) else None


def _message(question: InputQuestion) -> str:
    place = "The value goes straight to the store, not through the chat."
    return f"Enter the secret {question.name} for {_shown(question.project)}. {place}"
