"""Putting input_secret's question to the person: by the client's URL elicitation, else by the graphical browser.

Always: the value goes from the page to the gate, never through the client; one page for a project and name; a call
waits no longer than `CALL_SECONDS`, a page no longer than its lifetime. Only `app.py` imports it.
"""

import sys
from asyncio import get_running_loop
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Final, TypeAlias

import anyio
import anyio.to_thread
from mcp.server.context import ServerRequestContext
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
from claude_secrets.human.browser import open_url
from claude_secrets.human.page import InputPage
from claude_secrets.model import Done, Entered, InputQuestion, Outcome, Refused
from claude_secrets.paths import command

CALL_SECONDS: Final = 50.0
"""How long one call waits for the person: less than the minute after which some clients give up."""

PAGES_LIMIT: Final = 5
"""Pages that may wait for the person at the same time."""

_KEY: Final = "page"

Context: TypeAlias = ServerRequestContext[Any, Any]
Key: TypeAlias = tuple[str, str]


class Asker:
    """The pages of this process. `environment` tells whether there is a display."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._pages: dict[Key, InputPage] = {}
        self._ending = anyio.Event()

    def end(self) -> None:
        """Let every waiting call give up, and close all pages."""
        self._ending.set()
        for page in self._pages.values():
            page.close()

    async def ask(
        self,
        context: Context,
        params: CallToolRequestParams,
        question: InputQuestion,
        store: Callable[[Entered], Outcome],
    ) -> Done | Refused | InputRequiredResult:
        """Put the question, or join the page that does already, and wait a while for its result."""
        key = (question.project, question.name)
        page = self._pages.get(key)
        if page is None:
            self._forget_reported()
            if len(self._pages) >= PAGES_LIMIT:
                return _refused(
                    Code.WAITING,
                    f"{PAGES_LIMIT} other values are being asked for; '{question.name}' was not.",
                    "Call again when the person has entered them.",
                )
            page = self._pages[key] = InputPage(question, store=store)
            page.start()
        result: Done | Refused | InputRequiredResult | None = None
        with anyio.move_on_after(CALL_SECONDS):
            result = page.result() or await self._show(context, params, question, page)
            if result is None:
                result = await self._wait(page)
        if isinstance(result, InputRequiredResult):
            return result
        if result is None:
            return _waiting(question)
        del self._pages[key]
        return result

    def _forget_reported(self) -> None:
        """Drop pages that ended long ago and whose result nobody asked for again."""
        ended = [key for key, page in self._pages.items() if isinstance(page.result(), Refused)]
        for key in ended:
            del self._pages[key]

    async def _wait(self, page: InputPage) -> Done | Refused | None:
        ended, loop = anyio.Event(), get_running_loop()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(ended.set)

        page.add_listener(tell)
        async with anyio.create_task_group() as tasks:

            async def give_up_at_the_end() -> None:
                await self._ending.wait()
                ended.set()

            tasks.start_soon(give_up_at_the_end)
            await ended.wait()
            tasks.cancel_scope.cancel()
        return page.result() or _refused(Code.CANCELLED, "The server is stopping; nothing was stored.")

    async def _show(
        self, context: Context, params: CallToolRequestParams, question: InputQuestion, page: InputPage
    ) -> Refused | InputRequiredResult | None:
        """Bring the page before the person's eyes; None when that is done."""
        if _elicits_urls(context):
            if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
                answer = _answer(params, page) or (None if page.opened else _input_required(question, page))
                if isinstance(answer, InputRequiredResult) or answer is None:
                    return answer
            elif page.opened:
                return None
            else:
                answer = await self._elicit(context, question, page)
            if answer is not None and answer.action != "accept":
                page.close()
                return _refused(Code.CANCELLED, f"The person said no; '{question.name}' was not stored.")
            return None
        if page.opened:
            return None
        forbidden = [Path(question.project)]
        if await anyio.to_thread.run_sync(
            lambda: open_url(page.url, self._environment, forbidden=forbidden, platform=sys.platform)
        ):
            return None
        page.close()
        return _refused(
            Code.NO_INPUT_CHANNEL,
            "There is no way to ask the person from here: the client opens no addresses, and there is no display.",
            f"The person can store the value themselves, in {question.project}: {command()} set {question.name}",
        )

    async def _elicit(self, context: Context, question: InputQuestion, page: InputPage) -> ElicitResult | None:
        """Handshake era: the client shows the address. None where it did not answer but the page was used."""
        elicitation_id = token_urlsafe(16)
        try:
            return await context.session.elicit_url(
                _message(question), page.url, elicitation_id, related_request_id=context.request_id
            )
        except MCPError:
            return None if page.opened else ElicitResult(action="cancel")


def _elicits_urls(context: Context) -> bool:
    capabilities = context.session.client_capabilities
    elicitation = capabilities.elicitation if capabilities is not None else None
    # The SDK's own check says yes for a client that has forms only.
    return elicitation is not None and elicitation.url is not None


def _input_required(question: InputQuestion, page: InputPage) -> InputRequiredResult:
    request = ElicitRequest(params=ElicitRequestURLParams(message=_message(question), url=page.url))
    return InputRequiredResult(input_requests={_KEY: request}, request_state=page.url)


def _answer(params: CallToolRequestParams, page: InputPage) -> ElicitResult | None:
    """2026-07-28: the client's answer to this very page, as the sealed state says; anything else is no answer."""
    response = (params.input_responses or {}).get(_KEY)
    return response if params.request_state == page.url and isinstance(response, ElicitResult) else None


def _message(question: InputQuestion) -> str:
    return f"Enter the secret {question.name} for {question.project}. It goes straight to the store; no agent sees it."


def _waiting(question: InputQuestion) -> Refused:
    return _refused(
        Code.WAITING,
        f"The person has not entered '{question.name}' yet; the page stays open.",
        "Call input_secret again with the same name to go on waiting.",
    )


def _refused(code: Code, message: str, hint: str | None = None) -> Refused:
    return Refused(InputError(code, message, hint))
