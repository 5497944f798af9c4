"""Ask the person for consent by a form in the client, or else by a dialog. If neither works, there is no consent.

Always: only an exact `true`, as the answer to the question that was asked, is consent. Each answer is accepted only
once. Only one question is open at a time, for at most `QUESTION_SECONDS`. `QuestionLimits` limits how many questions
are asked.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Final, NamedTuple

import anyio
import anyio.to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from claude_secrets.model import Channel, Consented, ConsentItem, ConsentKind, ConsentQuestion, Declined
from claude_secrets.prompt.dialog import DialogAnswer, Dialogs
from claude_secrets.server.client_hooks import Context, answers_by_hooks
from claude_secrets.server.question_limits import QuestionLimits, Subject
from claude_secrets.untrusted_text import plain, quoted, shortened

QUESTION_SECONDS: Final = 50.0
"""How long one question waits. Some clients give up after a minute."""

STATE_SECONDS: Final = 600.0
"""How long a client of protocol 2026-07-28 may take to return an answer."""

_KEY: Final = "consent"
_STATE: Final = "consent:"


class _OpenQuestion(NamedTuple):
    """Protocol 2026-07-28: a question to a client, its start time, and the person's earlier consents to the call."""

    question: ConsentQuestion
    since: float
    earlier: tuple[Consented, ...]


class ConsentPrompt:
    """Asks the consent questions of this process.

    `dialogs` makes the dialogs for a project's directory. `limits` are shared with other questions of this process.
    `now` returns the time in seconds. If `asks` is false, the person is never asked, because an agent started this
    server.
    """

    def __init__(
        self,
        dialogs: Callable[[Path], Dialogs],
        limits: QuestionLimits,
        now: Callable[[], float] = time.monotonic,
        *,
        asks: bool = True,
    ) -> None:
        self._asks = asks
        self._dialogs = dialogs
        self._limits = limits
        self._now = now
        self._turn = anyio.Lock()
        self._open: dict[str, _OpenQuestion] = {}
        self._waiting: set[anyio.CancelScope] = set()

    def end(self) -> None:
        """Cancel every waiting question."""
        for scope in self._waiting:
            scope.cancel()

    def given(self, params: CallToolRequestParams) -> Consented | Declined | None:
        """Protocol 2026-07-28: return the answer in a call to one of our questions. Each answer is accepted only once.

        The SDK's `RequestStateBoundary` checks the sealed state. A response whose state names no open question of ours
        is not an answer.
        """
        state = params.request_state or ""
        put = self._open.pop(state.removeprefix(_STATE), None) if state.startswith(_STATE) else None
        response = (params.input_responses or {}).get(_KEY)
        if put is None or not isinstance(response, ElicitResult):
            return None
        return _after(put.earlier, self._counted(put.question, _meaning(response, put.question.digest)))

    async def put(
        self, context: Context, question: ConsentQuestion, earlier: Consented | Declined | None
    ) -> Consented | Declined | InputRequiredResult:
        """Ask by the first channel that works. Return the answer, or the request that the client must fulfil.

        `earlier` is the answer to the previous question of the same call.
        """
        before = (*earlier.earlier, earlier._replace(earlier=())) if isinstance(earlier, Consented) else ()
        answer = await self._put(context, question, before)
        return answer if isinstance(answer, InputRequiredResult) else _after(before, answer)

    async def _put(
        self, context: Context, question: ConsentQuestion, earlier: tuple[Consented, ...]
    ) -> Consented | Declined | InputRequiredResult:
        if not self._asks:
            return Declined(digest=question.digest, channel=Channel.AGENT, said_no=False)
        self._forget_old()
        if (refused := self._refused_before(question)) is not None:
            return refused
        by_form = not question.dialog_only and _elicits_forms(context) and not answers_by_hooks(context)
        if by_form and context.protocol_version in MODERN_PROTOCOL_VERSIONS:
            return self._input_required(question, earlier)
        answer: Consented | Declined | None = None
        channel = Channel.BUSY  # until this question's turn
        with anyio.move_on_after(QUESTION_SECONDS) as scope:
            self._waiting.add(scope)
            async with self._turn:
                if (refused := self._refused_before(question)) is not None:  # refused while this question waited
                    return refused
                channel = Channel.CLIENT if by_form else Channel.DIALOG
                answer = await (_by_form(context, question) if by_form else self._by_dialog(question))
        self._waiting.discard(scope)
        return self._counted(question, answer or Declined(digest=question.digest, channel=channel, said_no=False))

    def _refused_before(self, question: ConsentQuestion) -> Declined | None:
        """Return an answer without asking if the person refused recently or questions are paused; otherwise None."""
        why = self._limits.not_asked(question.project, _subjects(question))
        return None if why is None else Declined(digest=question.digest, channel=why.channel, said_no=why.said_no)

    def _input_required(
        self, question: ConsentQuestion, earlier: tuple[Consented, ...]
    ) -> InputRequiredResult | Declined:
        others = (one for one in self._open.values() if one.question.digest != question.digest)
        if any(self._is_fresh(one.since) for one in others):
            return Declined(digest=question.digest, channel=Channel.BUSY, said_no=False)
        nonce = token_urlsafe(16)
        self._open[nonce] = _OpenQuestion(question, self._now(), earlier)
        return InputRequiredResult(
            input_requests={_KEY: ElicitRequest(params=_form(question))}, request_state=f"{_STATE}{nonce}"
        )

    def _is_fresh(self, since: float) -> bool:
        return self._now() - since < QUESTION_SECONDS

    def _forget_old(self) -> None:
        for nonce, one in list(self._open.items()):
            if self._now() - one.since > STATE_SECONDS:
                del self._open[nonce]
                self._counted(one.question, Declined(digest=one.question.digest, channel=Channel.CLIENT, said_no=False))

    async def _by_dialog(self, question: ConsentQuestion) -> Consented | Declined:
        dialogs = self._dialogs(Path(question.project))
        if not await anyio.to_thread.run_sync(dialogs.available):
            return Declined(digest=question.digest, channel=Channel.NONE, said_no=False)
        cancelled = threading.Event()
        try:
            answer = await anyio.to_thread.run_sync(
                lambda: dialogs.confirm(
                    "Claude Secrets", asked(question), seconds=QUESTION_SECONDS, cancelled=cancelled
                ),
                abandon_on_cancel=True,
            )
        finally:
            cancelled.set()
        if answer is DialogAnswer.YES:
            return Consented(digest=question.digest, channel=Channel.DIALOG)
        return Declined(digest=question.digest, channel=Channel.DIALOG, said_no=answer is DialogAnswer.NO)

    def _counted(self, question: ConsentQuestion, answer: Consented | Declined) -> Consented | Declined:
        """Record a refusal, count consecutive questions without an answer, and return the answer unchanged."""
        if answer.channel in (Channel.NONE, Channel.BUSY):
            return answer
        if isinstance(answer, Consented):
            self._limits.answered()
        elif answer.said_no:
            self._limits.refused(question.project, _subjects(question)[0])
        else:
            self._limits.unanswered()
        return answer


def _after(earlier: tuple[Consented, ...], answer: Consented | Declined) -> Consented | Declined:
    return answer._replace(earlier=earlier) if isinstance(answer, Consented) else answer


def asked(question: ConsentQuestion) -> str:
    """Return the question as text that is clear without other context."""
    lines = "\n".join(f"• {_line(want)}" for want in question.items)
    project = quoted(shortened(question.project), mark=_MARK)
    return f"An agent wants to\n{lines}\nin the project {project}. Do you allow this?"


def _line(want: ConsentItem) -> str:
    said = f"; its author says {quoted(want.said)}" if want.said else ""
    return f"{plain(want.words, mark=_MARK)}{said}"


def _subjects(question: ConsentQuestion) -> list[Subject]:
    """Return the subjects of a question.

    A refusal is recorded for the question's first subject. A question is also refused if a refusal was recorded for
    any of its subjects.
    """
    own = (question.project, question.name or question.tool.value)
    whole = [(question.project, f"{w.kind} {w.subject}") for w in question.items if w.kind in _WHOLE]
    return [*whole, own]


_WHOLE: Final = (ConsentKind.WORK_TREE, ConsentKind.SCOPE)
_MARK: Final = "\ufffd"


async def _by_form(context: Context, question: ConsentQuestion) -> Consented | Declined | None:
    """Protocols before 2026-07-28: the client shows a form."""
    form = _form(question)
    try:
        response = await context.session.elicit_form(
            form.message, form.requested_schema, related_request_id=context.request_id
        )
    except (MCPError, ValueError):  # the client cannot show forms, or its answer is invalid
        return None
    return _meaning(response, question.digest)


def _form(question: ConsentQuestion) -> ElicitRequestFormParams:
    properties: dict[str, Any] = {"approve": {"type": "boolean", "title": "Allow this", "default": False}}
    if question.for_session:
        title = "For the rest of this session"
        properties["session"] = {"type": "boolean", "title": title, "default": False}
    schema = {"type": "object", "properties": properties, "required": ["approve"]}
    return ElicitRequestFormParams(message=asked(question), requested_schema=schema)


def _meaning(response: ElicitResult, digest: str) -> Consented | Declined:
    """Interpret a client's response.

    An exact `true` is consent. An exact `false` is a refusal, and so is a declined form. Any other response is no
    answer.
    """
    content = response.content or {}
    approve = content.get("approve")
    if response.action == "accept" and approve is True:
        return Consented(digest=digest, channel=Channel.CLIENT, session=content.get("session") is True)
    said_no = response.action == "decline" or (response.action == "accept" and approve is False)
    return Declined(digest=digest, channel=Channel.CLIENT, said_no=said_no)


def _elicits_forms(context: Context) -> bool:
    capabilities = context.session.client_capabilities
    elicitation = capabilities.elicitation if capabilities is not None else None
    # An empty elicitation capability means that the client supports forms.
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)
