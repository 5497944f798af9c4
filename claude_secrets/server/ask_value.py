"""Ask the person for a value (input_secret): by the client's URL elicitation, else in a browser, else by a dialog.

Always: the value goes from the page or the dialog to the gate, never through the client. Calls for the same secret in
the same project share one page. A call waits for at most `CALL_SECONDS`. A page waits for at most its lifetime. Only
our page or our dialog asks whether to add a name to the allowlist, and `QuestionLimits` limits these questions.
"""

import sys
import time
from asyncio import get_running_loop
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
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
from claude_secrets.model import Channel, Done, Entered, InputQuestion, Outcome, Refused
from claude_secrets.policy import refusals
from claude_secrets.policy.planted import grounds_of
from claude_secrets.prompt import wsl
from claude_secrets.prompt.browser import open_page
from claude_secrets.prompt.dialog import DialogAnswer, Dialogs
from claude_secrets.prompt.page import LIFETIME, InputPage
from claude_secrets.server import unanswered, value_dialog
from claude_secrets.server.client_hooks import Context, answers_by_hooks
from claude_secrets.server.open_page import UNSEEN_VISITORS, OpenPage
from claude_secrets.server.question_limits import UNANSWERED_LIMIT, QuestionLimits
from claude_secrets.server.unanswered import PAGES_LIMIT, refused
from claude_secrets.server.value_dialog import CALL_SECONDS, shown

ADDING_LIMIT: Final = UNANSWERED_LIMIT
"""How many pages that offer to add a name to the allowlist may wait at the same time."""

_KEY: Final = "page"
Key: TypeAlias = tuple[str, str]


class ValuePrompt:
    """Asks the person for values, and manages the pages of this process.

    `environment` shows whether there is a display. `dialogs` makes the dialogs for a project's directory. `limits` are
    shared with other questions of this process. `now` returns the time in seconds. If `asks` is false, the person is
    never asked, because an agent started this server.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        dialogs: Callable[[Path], Dialogs],
        limits: QuestionLimits,
        now: Callable[[], float] = time.monotonic,
        *,
        asks: bool = True,
        platform: str = sys.platform,
    ) -> None:
        self._asks = asks
        self._platform = platform
        self._environment = environment
        self._dialogs = dialogs
        self._limits = limits
        self._now = now
        self._pages: dict[Key, OpenPage] = {}
        self._waiting: set[anyio.CancelScope] = set()
        self._ended = False

    def end(self) -> None:
        """End every waiting call and close all pages."""
        self._ended = True
        for entry in self._pages.values():
            entry.counted = True  # the person has not refused
            entry.page.close()
        for scope in self._waiting:
            scope.cancel()

    def has_page_for(self, name: str) -> bool:
        """Whether a page asks for a secret with this name, or has a result that no call has collected yet."""
        return any(name == asked for _, asked in self._pages)

    async def ask(
        self,
        context: Context,
        params: CallToolRequestParams,
        question: InputQuestion,
        store: Callable[[Entered], Outcome],
        remember_no: Callable[[Channel], object] = lambda _channel: None,
    ) -> Done | Refused | InputRequiredResult:
        """Ask the person for a value, or use the page that already asks for it. Wait for at most `CALL_SECONDS`.

        `remember_no` is called if the person refuses to add the name to the allowlist.
        """
        if not self._asks:
            return unanswered.not_asked(question)
        key = (question.project, question.name)
        self._forget_old()
        entry = self._pages.get(key)
        if entry is None:
            if (no := self._not_asked(question)) is not None:
                return no
            entry = self._pages[key] = self._started(context, question, store, remember_no)
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

    def _not_asked(self, question: InputQuestion) -> Refused | None:
        """Return the answer if no page may be opened for the question now, or None if one may be opened."""
        waiting = [one.page.question for one in self._pages.values() if one.page.result() is None]
        if len(waiting) >= PAGES_LIMIT:
            return unanswered.too_many(question, PAGES_LIMIT)
        if not question.adds:
            return None
        why = self._limits.not_asked(question.project, [(question.project, question.name)])
        if why is not None and why.said_no:
            return Refused(refusals.refused_to_add(question.name))
        if why is not None:
            return Refused(refusals.not_added(question.name, project=question.project, why=why.channel))
        if sum(other.adds for other in waiting) >= ADDING_LIMIT:
            return unanswered.too_many(question, ADDING_LIMIT)
        return None

    def _started(
        self,
        context: Context,
        question: InputQuestion,
        store: Callable[[Entered], Outcome],
        remember_no: Callable[[Channel], object],
    ) -> OpenPage:
        """Start a page. Raises `InputError` if the page cannot be opened."""
        # If the page cannot see which user visits it, the address must not suffice: other users can read the address
        # in the browser's command line.
        unseen = self._platform in UNSEEN_VISITORS or wsl.is_visited_from_windows()
        keyed = unseen and not _is_elicited(context, question)
        entry = OpenPage(InputPage(question, store=store, keyed=keyed), store, remember_no, self._now())
        try:
            entry.page.start()
        except InputError as error:
            raise unanswered.no_page(error, question, self._environment) from None
        entry.page.add_listener(lambda: self._count(entry, entry.answer(), Channel.PAGE))
        return entry

    def _count(self, entry: OpenPage, answer: DialogAnswer, channel: Channel) -> None:
        """Count the end of a question about the allowlist, once. This runs on the loop's or on a page's thread."""
        if entry.counted:
            return
        entry.counted = True
        question = entry.page.question
        if answer is DialogAnswer.YES:
            self._limits.answered()
        elif answer is DialogAnswer.NO:
            self._limits.refused(question.project, (question.project, question.name))
            entry.remember_no(channel)
        else:
            self._limits.unanswered()

    def _forget_old(self) -> None:
        """Forget pages that ended long ago and whose result no call has collected."""
        for key, entry in list(self._pages.items()):
            if entry.page.result() is not None and self._now() - entry.started > 2 * LIFETIME:
                del self._pages[key]

    async def _show(
        self, context: Context, params: CallToolRequestParams, question: InputQuestion, entry: OpenPage
    ) -> Done | Refused | InputRequiredResult | None:
        """Show the page, and return None if the call must wait for the page. Otherwise return the call's result."""
        page = entry.page
        if page.result() is not None:
            return None
        if not _is_elicited(context, question):
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
            refuses = answer.action == "decline"
            self._count(entry, DialogAnswer.NO if refuses else DialogAnswer.NONE, Channel.CLIENT)
            page.close()
            return refused(Code.CANCELLED, f"The person refused; '{question.name}' was not stored.")
        return None

    async def _is_in_browser(self, question: InputQuestion, entry: OpenPage) -> bool:
        """Open the page in the person's browser, but not a second time. Returns whether the browser was opened."""
        if not entry.in_browser:
            forbidden = grounds_of(Path(question.project))
            entry.in_browser = await anyio.to_thread.run_sync(
                lambda: open_page(
                    entry.way_in(self._platform),
                    self._environment,
                    forbidden=forbidden,
                    platform=self._platform,
                    entry_file=lambda: entry.entry_file(seconds=wsl.RELAY_SECONDS),
                )
            )
        return entry.in_browser

    async def _open_browser(self, question: InputQuestion, entry: OpenPage) -> Done | Refused | None:
        if await self._is_in_browser(question, entry):
            return None
        dialogs = self._dialogs(Path(question.project))
        if await anyio.to_thread.run_sync(dialogs.available):
            return await self._ask_by_dialog(dialogs, question, entry)
        entry.counted = True  # the person has not been asked
        entry.page.close()
        return unanswered.no_channel(question, self._environment)

    async def _ask_by_dialog(self, dialogs: Dialogs, question: InputQuestion, entry: OpenPage) -> Done | Refused:
        """Ask by a dialog, which closes when the call ends. A second call gets the first call's result."""
        async with entry.turn:
            if entry.by_dialog is not None:
                return entry.by_dialog
            given = await value_dialog.ask(dialogs, question)
            did = "refused" if given is DialogAnswer.NO else "entered nothing"
            result: Done | Refused = refused(Code.CANCELLED, f"The person {did}; '{question.name}' was not stored.")
            if isinstance(given, Entered):
                with anyio.CancelScope(shield=True):  # the result of storing is always reported
                    outcome = await anyio.to_thread.run_sync(lambda: entry.store(given))
                    result = outcome if isinstance(outcome, Done | Refused) else result
            entry.by_dialog = result
            self._count(entry, DialogAnswer.YES if isinstance(given, Entered) else given, Channel.DIALOG)
            entry.page.close()
        return result

    async def _tell_client(self, context: Context, entry: OpenPage) -> None:
        """Protocols before 2026-07-28: tell the client that the page's address is no longer needed."""
        if _elicits_urls(context) and context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            await context.session.send_elicit_complete(entry.elicitation_id, related_request_id=context.request_id)


async def _result_of(page: InputPage) -> Done | Refused | None:
    ended, loop = anyio.Event(), get_running_loop()

    def tell() -> None:
        with suppress(RuntimeError):  # the loop is closed: no call waits now
            loop.call_soon_threadsafe(ended.set)

    page.add_listener(tell)
    await ended.wait()
    return page.result()


async def _elicit(context: Context, question: InputQuestion, entry: OpenPage) -> ElicitResult:
    """Protocols before 2026-07-28: the client shows the page's address."""
    try:
        return await context.session.elicit_url(
            _message(question), entry.page.url, entry.elicitation_id, related_request_id=context.request_id
        )
    except MCPError:  # the client cannot show the address
        return ElicitResult(action="cancel")


def _is_elicited(context: Context, question: InputQuestion) -> bool:
    """Whether the client gets the page's address.

    If the question is about the allowlist, a client whose hooks read addresses does not get it: a project's own hook
    could then answer on the page.
    """
    return _elicits_urls(context) and not (question.adds and answers_by_hooks(context))


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
    added = " The page asks whether to add the name to the project's allowlist." if question.adds else ""
    return f"Enter the secret {question.name} for {shown(question.project)}. {place}{added}"
