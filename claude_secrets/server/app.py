"""The MCP server: connects the SDK's low-level server with the tools, the prompts, and the gate on its thread.

Always: an internal error is caught and answered with a fixed text, and only its type is logged. No exception's text
reaches the client or standard error.
"""

import asyncio
import logging
import sys
import warnings
from asyncio import get_running_loop
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import anyio
from mcp.server.caching import CacheHint
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
    ListToolsResult,
    NotificationParams,
    PaginatedRequestParams,
    TextContent,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from claude_secrets.agent.lazy_gate import LazyGate
from claude_secrets.errors import Code, SecretsError, StoreError
from claude_secrets.installation import Installation
from claude_secrets.model import (
    Answer,
    Ask,
    Call,
    Channel,
    Consented,
    ConsentQuestion,
    Declined,
    Done,
    Entered,
    Outcome,
    Refused,
    Tool,
)
from claude_secrets.paths import working_directory
from claude_secrets.policy.config import Trust
from claude_secrets.policy.planted import grounds_of
from claude_secrets.policy.project import CallOrigin
from claude_secrets.policy.refusals import changed_meanwhile
from claude_secrets.prompt.dialog import Dialogs
from claude_secrets.server import preload
from claude_secrets.server.ask_consent import ConsentPrompt
from claude_secrets.server.ask_value import ValuePrompt
from claude_secrets.server.client_hooks import Context
from claude_secrets.server.question_limits import QuestionLimits
from claude_secrets.server.restart import restart_needed
from claude_secrets.server.stdio import Front
from claude_secrets.server.tools import INSTRUCTIONS, ROWS
from claude_secrets.server.worker import Worker
from claude_secrets.untrusted_text import plain
from claude_secrets.version import __version__

NAME = "claude-secrets"
ROOTS_SECONDS = 2.0
STORING_SECONDS = 60.0
CLOSING_SECONDS = 2.0
LIST_FRESH_MS = 3_600_000
CLIENT_LIMIT = 100
QUESTIONS = 2
"""The most consent questions for one call: one for the call's items, and one for approvals by the project's rules."""


class App:
    """One server process, with its gate, its prompts, and the origin of its client's calls."""

    def __init__(
        self,
        project: Path | None,
        store_argument: str | None,
        environment: MutableMapping[str, str],
        tighten: Trust = Trust.OFF,
        passphrase: str | None = None,
        *,
        bound: bool = False,
        asks: bool = True,
        installation: Installation | None = None,
    ) -> None:
        self._gate = LazyGate(store_argument, environment, tighten, passphrase, asks=asks)
        self._worker = Worker()
        self._installation = installation
        self._environment = environment
        limits = QuestionLimits()
        self._asker = ValuePrompt(environment, self._dialogs, limits, asks=asks)
        self._consenter = ConsentPrompt(self._dialogs, limits, asks=asks)
        named = environment.get("CLAUDE_PROJECT_DIR")
        self._where = CallOrigin(
            argument=project,
            environment=Path(named) if named else None,
            root=None,
            working_directory=working_directory(),
            bound=bound,
        )
        self._gate.start(self._where)
        self._roots_known = project is not None
        self._asking_roots = anyio.Lock()

    async def serve(self) -> None:
        """Serve the client on this process's standard input and output until the client is gone."""
        server: Server[Any] = Server(
            NAME,
            version=__version__,
            title="Claude Secrets",
            instructions=INSTRUCTIONS,
            cache_hints={"tools/list": CacheHint(ttl_ms=LIST_FRESH_MS, scope="private")},  # policies can hide tools
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )
        server.add_notification_handler("notifications/roots/list_changed", NotificationParams, self._roots_changed)
        server.middleware.clear()  # the SDK's tracing would record messages
        server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=NAME))
        loading = preload.Preloading(self._worker.submit, preload.modules(self._environment))
        get_running_loop().call_later(preload.AFTER_SECONDS, loading.begin)
        await Front(server, self._end).run()
        loading.stop()
        with anyio.move_on_after(CLOSING_SECONDS):  # checkpoints the store's WAL; a gate that hangs is abandoned
            await self._worker.run(self._gate.close)

    def _dialogs(self, project: Path) -> Dialogs:
        return Dialogs(environment=self._environment, forbidden=grounds_of(project), platform=sys.platform)

    def _end(self) -> None:
        self._asker.end()
        self._consenter.end()

    async def _list_tools(self, _context: Context, _params: PaginatedRequestParams | None) -> ListToolsResult:
        hidden = await self._worker.run(lambda: self._gate.hidden(self._where))
        return ListToolsResult(tools=[row.listed() for row in ROWS.values() if row.tool not in hidden])

    async def _call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        row = ROWS.get(params.name)
        if row is None:
            raise MCPError(code=-32602, message="There is no such tool.")
        try:
            call = row.call(params.arguments)
            self._refuse_replaced(context, params, call)
            outcome = await self._outcome(context, params, call)
        except SecretsError as error:
            outcome = Refused(error)
        except Exception as error:  # noqa: BLE001  no error may escape: the SDK would send its text
            print(f"claude-secrets: internal fault: {type(error).__name__}", file=sys.stderr)  # noqa: T201
            outcome = Refused(SecretsError(Code.INTERNAL, "Something went wrong inside Claude Secrets."))
        return outcome if isinstance(outcome, InputRequiredResult) else _result(params.name, outcome)

    def _refuse_replaced(self, context: Context, params: CallToolRequestParams, call: Call) -> None:
        """Refuse a new call if the program's files were replaced or removed. Calls that have begun are carried out.

        A call with a request state continues an earlier call. The state was sealed by this process.
        """
        if params.request_state is not None or self._installation is None:
            return
        change = self._installation.change()
        if change is None or (call.tool is Tool.INPUT_SECRET and self._asker.has_page_for(call.name)):
            return
        client = context.session.client_params
        raise restart_needed(change, client="" if client is None else client.client_info.name)

    async def _outcome(
        self, context: Context, params: CallToolRequestParams, call: Call
    ) -> Done | Refused | InputRequiredResult:
        where, client = await self._whereabouts(context), _client(context)

        def gate(answer: Answer | None) -> Outcome:
            return self._gate.call(call, where, answer, client=client)

        answer = self._consenter.given(params)
        outcome = await self._worker.run(partial(gate, answer))
        for _ in range(QUESTIONS):
            if not (isinstance(outcome, Ask) and isinstance(outcome.question, ConsentQuestion)):
                break
            put = await self._consenter.put(context, outcome.question, answer)
            if isinstance(put, InputRequiredResult):
                return put
            answer = put
            outcome = await self._worker.run(partial(gate, answer))
        if not isinstance(outcome, Ask):
            return outcome
        if isinstance(outcome.question, ConsentQuestion):
            return Refused(changed_meanwhile(outcome.question))
        store = self._storing(gate, self._asking(context))

        def remember_no(channel: Channel) -> None:
            said_no = Declined(digest="", channel=channel, said_no=True)
            self._worker.submit(lambda: gate(said_no))

        return await self._asker.ask(context, params, outcome.question, store, remember_no)

    def _asking(self, context: Context) -> Callable[[ConsentQuestion], Consented | Declined]:
        """Return a function with which the page's thread asks for consent, in a dialog."""
        loop = asyncio.get_running_loop()

        def ask(question: ConsentQuestion) -> Consented | Declined:
            put = asyncio.run_coroutine_threadsafe(self._consenter.put(context, question, None), loop).result()
            if isinstance(put, InputRequiredResult):  # a question for a dialog never goes to the client
                raise TypeError
            return put

        return ask

    def _storing(
        self,
        gate: Callable[[Entered], Outcome],
        ask: Callable[[ConsentQuestion], Consented | Declined] | None = None,
    ) -> Callable[[Entered], Outcome]:
        """Return a function with which the page's thread stores a value, by calling the gate again.

        If the value's name is added to the allowlist, and a secret of this name was stored outside the project, `ask`
        asks for consent.
        """

        def store(entered: Entered) -> Outcome:
            outcome = submitted(entered)
            if not (isinstance(outcome, Ask) and isinstance(outcome.question, ConsentQuestion)):
                return outcome
            if entered.adds and ask is not None:
                outcome = submitted(entered._replace(consent=ask(outcome.question)))
            if isinstance(outcome, Ask) and isinstance(outcome.question, ConsentQuestion):
                return Refused(changed_meanwhile(outcome.question))
            return outcome

        def submitted(entered: Entered) -> Outcome:
            storing = self._worker.submit(lambda: gate(entered))
            try:
                return storing.result(STORING_SECONDS)
            except TimeoutError:
                if storing.cancel():  # it has not begun and now never will
                    busy = "The server is busy with other calls; nothing was stored."
                    return Refused(StoreError(Code.STORE_BUSY, busy, "Let the agent ask again in a moment."))
                return storing.result()

        return store

    async def _whereabouts(self, context: Context) -> CallOrigin:
        """Return the origin of a call. A client of a protocol before 2026-07-28 is asked once for its roots."""
        if self._roots_known:
            return self._where
        async with self._asking_roots:  # a second call waits for the first call's answer
            if not self._roots_known:
                with anyio.move_on_after(ROOTS_SECONDS):
                    self._where = self._where._replace(root=await _first_root(context))
                    self._roots_known = True
        return self._where

    async def _roots_changed(self, _context: Context, _params: NotificationParams) -> None:
        self._roots_known = self._where.argument is not None


def _client(context: Context) -> str:
    """Return the name and version that the agent's program reports for itself. They can be any text."""
    params = context.session.client_params
    return (
        "" if params is None else plain(f"{params.client_info.name} {params.client_info.version}", limit=CLIENT_LIMIT)
    )


async def _first_root(context: Context) -> Path | None:
    capabilities = context.session.client_capabilities
    if context.protocol_version in MODERN_PROTOCOL_VERSIONS or capabilities is None or capabilities.roots is None:
        return None
    try:
        roots = (await context.session.list_roots()).roots
    except (MCPError, ValueError):  # a client that cannot answer is treated as a client without roots
        return None
    for root in roots:
        parts = urlsplit(str(root.uri))
        if parts.scheme == "file" and parts.netloc in ("", "localhost"):
            return Path(url2pathname(parts.path))
    return None


def _result(tool: str, outcome: Done | Refused | Ask) -> CallToolResult:
    if isinstance(outcome, Done):
        if ROWS[tool].output is None:
            return CallToolResult(content=[TextContent(text=outcome.text)])
        return CallToolResult(content=[TextContent(text=_json(outcome.data))], structured_content=dict(outcome.data))
    if isinstance(outcome, Ask):  # the prompts answer every question before this
        raise TypeError
    error = outcome.error
    text = f"[{error.code}] {error.message}" + (f"\n{error.hint}" if error.hint else "")
    # A directory's name may be invalid Unicode, and a lone surrogate in a result ends the SDK's server.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return CallToolResult(content=[TextContent(text=text)], is_error=True)


def _json(data: Mapping[str, object]) -> str:
    import json

    return json.dumps(data, ensure_ascii=False)


def run(
    project: Path | None,
    store_argument: str | None,
    environment: MutableMapping[str, str],
    tighten: Trust,
    passphrase: str | None,
    *,
    bound: bool,
    asks: bool,
    installation: Installation | None = None,
) -> None:
    """Serve until the client is gone. After `installation` changes, new calls are refused."""
    # The SDK and asyncio log exceptions with their texts, which may contain parts of messages.
    logging.getLogger().addHandler(logging.NullHandler())
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")  # roots are deprecated, but older clients can name the project only by them
    app = App(
        project, store_argument, environment, tighten, passphrase, bound=bound, asks=asks, installation=installation
    )
    anyio.run(app.serve)
