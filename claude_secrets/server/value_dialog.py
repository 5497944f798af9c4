"""Ask the person for a value by dialogs: whether to add the name to the allowlist, the value, and who may read it.

Always: a dialog closes when the call ends. No answer means that nothing is added and nothing is stored.
"""

import threading
from typing import Final

import anyio
import anyio.to_thread

from claude_secrets.model import Access, Channel, Entered, InputQuestion
from claude_secrets.prompt.dialog import DialogAnswer, Dialogs
from claude_secrets.untrusted_text import plain, quoted

CALL_SECONDS: Final = 50.0
"""How long one call waits for the person. Some clients give up after a minute."""

DIALOG_PROMPT_LIMIT: Final = 300
"""The maximum number of characters of the agent's own words in a dialog."""


async def ask(dialogs: Dialogs, question: InputQuestion) -> Entered | DialogAnswer:
    """Return what the person entered. Return NO if they refused to add the name, NONE if they entered nothing."""
    if question.adds:
        title = "Claude Secrets: add to the allowlist"
        agreed = await _confirmed(dialogs, title, _adding_text(question))
        if agreed is not DialogAnswer.YES:
            return agreed
    value = await _typed(dialogs, question)
    if value is None:
        return DialogAnswer.NONE
    access = await _chosen(dialogs, question)
    return Entered(value=value, access=access, question=question, channel=Channel.DIALOG, adds=question.adds)


async def _confirmed(dialogs: Dialogs, title: str, text: str) -> DialogAnswer:
    """Ask a yes-or-no question in a dialog, which closes when the call ends."""
    cancelled = threading.Event()
    try:
        return await anyio.to_thread.run_sync(
            lambda: dialogs.confirm(title, text, seconds=CALL_SECONDS, cancelled=cancelled),
            abandon_on_cancel=True,
        )
    finally:
        cancelled.set()


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
    text = f"May agents read the value of {question.name}?\nIt can then appear in chats and their transcripts."
    answer = await _confirmed(dialogs, "Claude Secrets: who may read it", text)
    return {DialogAnswer.YES: Access.READABLE, DialogAnswer.NO: Access.USE_ONLY}.get(answer, question.access)


def _dialog_text(question: InputQuestion) -> str:
    """Return the question as text that is clear without other context."""
    lines = [
        f"An agent in {shown(question.project)} asks you for the secret {question.name}.",
        "What you enter goes to the encrypted store, not into the chat.",
        "After that, you are asked whether agents may read the value.",
    ]
    if question.replaces is not None:
        lines.append(f"It replaces version {question.replaces}.")
    if question.store is not None:
        lines.append(f"Not your usual store: {shown(question.store)}")
    if question.about:
        lines.append(f"The project's note: {quoted(question.about)}")
    return "\n".join([*lines, *_said(question)])


def _adding_text(question: InputQuestion) -> str:
    """Return the question whether to add the name to the allowlist."""
    lines = [
        f"Add {question.name} to the allowlist of {shown(question.project)}?",
        "Agents that work in this project can then use this secret.",
        "If you answer Yes, you are asked for its value next.",
        "An agent asks for this secret. Answer Yes only if you expect this question.",
    ]
    return "\n".join([*lines, *_said(question)])


def _said(question: InputQuestion) -> list[str]:
    """Return a line that quotes the agent's own words, or no line if there are none."""
    if not plain(question.prompt):
        return []
    said = quoted(question.prompt, limit=DIALOG_PROMPT_LIMIT)
    return [f"The agent's own words, not checked by anyone: {said}"]


def shown(path: str) -> str:
    """Return a path in a form that is safe to show."""
    return plain(path, mark="\ufffd")
