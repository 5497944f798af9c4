"""The answers of `input_secret` if the person cannot be asked, or has not entered a value yet.

Always: each answer says what the agent or the person can do next. A command for the person names the project's
directory.
"""

from collections.abc import Mapping
from typing import Final

from claude_secrets.errors import Code, InputError
from claude_secrets.model import InputQuestion, Refused
from claude_secrets.paths import command, in_own_terminal
from claude_secrets.prompt import wsl
from claude_secrets.surroundings import Surroundings, a_terminal, surroundings

PAGES_LIMIT: Final = 5
"""How many pages may wait for the person at the same time."""


def refused(code: Code, message: str, hint: str | None = None) -> Refused:
    """Return a refusal of `input_secret`."""
    return Refused(InputError(code, message, hint))


def no_channel(question: InputQuestion, environment: Mapping[str, str]) -> Refused:
    """Return the answer if no browser and no dialog could be opened."""
    if wsl.is_wsl() and wsl.is_mirrored():
        why = "WSL mirrors the network, so a browser on Windows cannot reach the page"
    elif environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"):
        why = "no browser and no dialog program could be started"
    elif wsl.is_wsl():
        why = "the browser on Windows could not be opened from WSL"
    else:
        why = "there is no display"
    return refused(
        Code.NO_INPUT_CHANNEL,
        f"The person cannot be asked: the client does not open web addresses, and {why}.",
        f"To store the value, {by_typing(question, environment)}",
    )


def no_page(error: InputError, question: InputQuestion, environment: Mapping[str, str]) -> InputError:
    """Return the error of a page that could not be opened, with a hint that says what the person can type."""
    return error.with_hint(f"To store the value, {by_typing(question, environment)}")


def not_asked(question: InputQuestion) -> Refused:
    """Return the answer if an agent started this server."""
    return refused(
        Code.NO_INPUT_CHANNEL,
        "An agent started this server, so it does not ask the person.",
        f"The person can enter the value: {in_own_terminal(question.project, f'set {question.name}')}",
    )


def waiting(question: InputQuestion, environment: Mapping[str, str]) -> Refused:
    """Return the answer if the page still waits. If the person may not see the page, it says what they can type."""
    hint = "Call input_secret again with the same name to continue waiting."
    if surroundings(environment) is not Surroundings.PLAIN or (wsl.is_wsl() and wsl.is_mirrored()):
        hint = f"{hint} If the page cannot be opened, {by_typing(question, environment)}"
    return refused(Code.WAITING, f"The person has not entered '{question.name}' yet; the page stays open.", hint)


def too_many(question: InputQuestion, limit: int) -> Refused:
    """Return the answer if `limit` pages, the largest allowed number, already wait."""
    return refused(
        Code.WAITING,
        f"The person is already being asked for {limit} other values, so '{question.name}' was not asked for.",
        "Call input_secret again after the person has entered the other values.",
    )


def stopping() -> Refused:
    """Return the answer if the server stops during the call."""
    return refused(Code.CANCELLED, "The server is stopping; nothing was stored.")


def by_typing(question: InputQuestion, environment: Mapping[str, str]) -> str:
    """Return words that say where the person can type the command that stores the value."""
    place = a_terminal(surroundings(environment))
    run = f"{command()} set {question.name}"
    if question.adds:
        run = f"{command()} allow {question.name}, and then {run}"
    return f"the person can run this command in {place}, in the directory {question.project}: {run}"
