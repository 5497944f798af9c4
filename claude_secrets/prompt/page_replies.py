"""The one-time page's short answers: how the page ended, or what was wrong with a request.

Always: the answers are fixed texts into which only a secret's name, a version number or an error's message and hint are
inserted. No answer contains a value.
"""

from http import HTTPStatus
from typing import NamedTuple

from claude_secrets.errors import Code, InputError, SecretsError
from claude_secrets.model import Done, InputQuestion, Refused
from claude_secrets.prompt.page_html import message_page


class Reply(NamedTuple):
    """The HTTP response to a visitor."""

    status: HTTPStatus
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Reply({self.status!r})"


def stored(question: InputQuestion, done: Done) -> Reply:
    """Say that the value is stored, show the version number, and say if the name was added to the allowlist.

    The text of `done` is not shown, because it may be a value.
    """
    version = done.data.get("version")
    told = f" (version {version})" if isinstance(version, int) else ""
    added = " The name is now in this project's allowlist." if question.adds else ""
    return _good(HTTPStatus.OK, "Stored", f"'{question.name}' is stored{told}.{added} You can close this tab.")


def refused(error: SecretsError) -> Reply:
    """Say that the store refused the value."""
    hints = [error.hint] if error.hint else []
    return _bad(HTTPStatus.CONFLICT, "Not stored", f"[{error.code}] {error.message}", *hints, "Nothing was stored.")


def unreadable(status: HTTPStatus, path: str) -> Reply:
    """Answer a request that was rejected before it reached the page. `path` is the path of the form."""
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        text = "A value has at most 1 MiB (1048576 bytes). Nothing was stored."
        return Reply(status, message_page("Too large", text, problem=True, back=path))
    return _bad(status, status.phrase, "Nothing was stored.")


def _good(status: HTTPStatus, title: str, *paragraphs: str) -> Reply:
    return Reply(status, message_page(title, *paragraphs))


def _bad(status: HTTPStatus, title: str, *paragraphs: str) -> Reply:
    return Reply(status, message_page(title, *paragraphs, problem=True))


def nothing_stored(code: Code, why: str, question: InputQuestion) -> Refused:
    """Return the agent's result if the page ended without storing a value."""
    return Refused(InputError(code, f"{why}; nothing was stored for '{question.name}'."))


CANCELLED = _good(HTTPStatus.OK, "Cancelled", "Nothing was stored. You can close this tab.")
STORING = _good(HTTPStatus.ACCEPTED, "Storing", "The value is being stored. Reload this page to see the result.")
BAD = _bad(HTTPStatus.BAD_REQUEST, "Bad request", "Nothing was stored.")
NOT_YET = _bad(HTTPStatus.FORBIDDEN, "Not yet", "Open this page and click Continue first. Nothing was stored.")
BY_ITS_FILE = _bad(
    HTTPStatus.FORBIDDEN,
    "Not from here",
    "Open this page through the file that Claude Secrets opened in your browser. Nothing was stored.",
)
CLOSED = _bad(HTTPStatus.GONE, "Closed", "This page is closed. A value that you enter here now is not stored.")
STOPPED = _bad(
    HTTPStatus.FORBIDDEN,
    "Stopped",
    "This page was opened a second time, in another window or by someone else; nothing was stored.",
    "After someone clicked Continue, the page was opened again: in a second browser, in a browser that keeps no"
    " cookies, or by another program. If that was not you, find out who else uses this machine before the agent asks"
    " again.",
)
