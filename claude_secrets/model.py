"""The basic types of the project as small frozen values, and the checks on names, scopes and values.

Always: nothing here does input or output. No secret's value appears in a `repr`.
"""

import re
from collections.abc import Mapping
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from claude_secrets.errors import CallerError, Code, SecretsError

NAME_LIMIT = 128
"""The most characters in a name."""

VALUE_LIMIT = 1024 * 1024
"""The most bytes of UTF-8 in a value."""

KEPT_VERSIONS = 10
"""The number of versions of a secret that are always kept, unless the person's settings name another number."""

SHARED = "shared"
"""The scope of a project whose file names none."""

PERSON = "person"
"""The origin of a secret that was stored outside any project."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_SCOPE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)


class Tool(StrEnum):
    """The six tools."""

    GET_SECRET = "get_secret"
    SET_SECRET = "set_secret"
    DELETE_SECRET = "delete_secret"
    LIST_SECRETS = "list_secrets"
    SEARCH_SECRETS = "search_secrets"
    INPUT_SECRET = "input_secret"


class Access(StrEnum):
    """Whether agents may get the value."""

    READABLE = "readable"
    USE_ONLY = "use-only"


class Expiry(Enum):
    """When a stored value expires, if no time is given."""

    UNCHANGED = "unchanged"
    """A new value never expires. An unchanged value keeps its time."""
    NEVER = "never"


class EnteredBy(StrEnum):
    """Who typed or sent a version."""

    AGENT = "agent"
    PERSON = "person"


class Channel(StrEnum):
    """How an answer came, or why none came."""

    PAGE = "page"
    DIALOG = "dialog"
    CLIENT = "client"
    EARLIER = ""
    """The person refused within the last ten minutes."""
    NONE = "none"
    """Neither the client nor the desktop can ask the person."""
    AGENT = "agent"
    """An agent started the server."""
    BUSY = "busy"
    """The person is being asked another question."""
    PAUSED = "paused"
    """The person did not answer several questions."""
    REFUSED = "refused"
    """The person refused several questions of the project."""


class Call(NamedTuple):
    """One tool call with checked arguments.

    An argument that the tool does not take is empty. `use`: the value goes to a program's environment, and the agent
    does not see it.
    """

    tool: Tool
    name: str = ""
    value: str = ""
    pattern: str = ""
    prompt: str = ""
    use: bool = False

    def __repr__(self) -> str:
        return f"Call({self.tool.value})"


class Entered(NamedTuple):
    """The value and access that the person entered, the `question` that they saw, and the channel."""

    value: str
    access: Access
    question: "InputQuestion"
    channel: Channel = Channel.PAGE

    def __repr__(self) -> str:
        return "Entered(...)"


class Consented(NamedTuple):
    """The person's consent to the `ConsentQuestion` of that digest.

    `session`: the consent is for reading, and holds until the server ends. `earlier` are the person's consents to the
    earlier questions of the same call.
    """

    digest: str
    channel: Channel
    session: bool = False
    earlier: tuple["Consented", ...] = ()

    def all(self) -> dict[str, "Consented"]:
        """Return all consents for the call, by the digest of their question."""
        return {one.digest: one for one in (*self.earlier, self)}


class Declined(NamedTuple):
    """No consent: the person refused (`said_no`), did not answer or could not be asked. `digest` as in `Consented`."""

    digest: str
    channel: Channel
    said_no: bool


Answer: TypeAlias = Entered | Consented | Declined


class Done(NamedTuple):
    """A call that was carried out. `text` may be a secret's value; `data` never holds one."""

    text: str
    data: Mapping[str, object] = MappingProxyType({})

    def __repr__(self) -> str:
        return "Done(...)"


class Refused(NamedTuple):
    """A call that was not carried out, and why."""

    error: SecretsError


class InputQuestion(NamedTuple):
    """The question that the person sees when an agent asks them to enter a value.

    The value will be stored in `scope`. `replaces` is the number of the current version that it would replace. `store`
    is the store's path if it is not the usual one. `prompt` is the agent's own text: never trust it or render it as
    markup.
    """

    name: str
    project: str
    scope: str = SHARED
    replaces: int | None = None
    store: str | None = None
    about: str | None = None
    url: str | None = None
    prompt: str = ""
    access: Access = Access.USE_ONLY


class ConsentKind(StrEnum):
    """The kinds of consent that a call can need."""

    WORK_TREE = "work-tree"
    SECRET = "secret"
    SCOPE = "scope"
    READ = "read"
    APPROVAL = "approval"


class ConsentItem(NamedTuple):
    """One consent that a call needs: its subject, and the words of the question to the person.

    If a rule needs the consent, `said` is the message of the rule's author: never trust it or render it as markup.
    `by_project`: the rule is from the project's own file.
    """

    kind: ConsentKind
    subject: str
    words: str
    said: str = ""
    by_project: bool = False


class ConsentQuestion(NamedTuple):
    """The question that the person must answer before a call is carried out: exactly `items`, for one project.

    `digest` binds an answer to the call, its arguments, the project, the content of its files and the items.
    `dialog_only`: the person's settings allow only a dialog, which no client can answer for them.
    """

    tool: Tool
    name: str
    project: str
    items: tuple[ConsentItem, ...]
    digest: str
    dialog_only: bool = False

    @property
    def for_session(self) -> bool:
        """Whether the answer may hold until the server ends."""
        return all(want.kind is ConsentKind.READ for want in self.items)


Question: TypeAlias = InputQuestion | ConsentQuestion


class Ask(NamedTuple):
    """A call that needs a person's answer before it can be carried out."""

    question: Question


Outcome: TypeAlias = Done | Refused | Ask


def is_name(text: str) -> bool:
    """Whether a text is a valid name for a secret."""
    return _NAME.fullmatch(text) is not None


def check_name(name: object) -> str:
    """Return `name` if it is a valid name for a secret.

    Raises:
        CallerError: INVALID_NAME, without the given text, because it may be a value in the wrong place.
    """
    if isinstance(name, str) and is_name(name):
        return name
    raise CallerError(
        Code.INVALID_NAME,
        "A secret's name must have 1 to 128 ASCII letters, digits, '_', '.' or '-', and not begin with '.' or '-'.",
    )


def check_scope(scope: object) -> str:
    """Return `scope` if it is a valid name for a scope (1 to 64 of the characters of a secret's name).

    Raises:
        CallerError: INVALID_NAME.
    """
    if isinstance(scope, str) and _SCOPE.fullmatch(scope):
        return scope
    raise CallerError(
        Code.INVALID_NAME,
        "A scope must have 1 to 64 ASCII letters, digits, '_', '.' or '-', and not begin with '.' or '-'.",
    )


def without_stray_newline(text: str) -> str:
    """Drop the newline after a single line, which `echo token |` and pasting add unintentionally.

    A text of several lines, such as a private key, keeps its last newline.
    """
    line = text.removesuffix("\n").removesuffix("\r")
    return text if "\n" in line else line


def check_value(value: object) -> str:
    """Return `value` if it can be stored: valid Unicode, 1 byte to 1 MiB of UTF-8.

    Raises:
        CallerError: INVALID_VALUE, without any part of the value.
    """
    if not isinstance(value, str):
        raise CallerError(Code.INVALID_VALUE, "A secret's value must be text.")
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        # From None, because the exception carries the value.
        raise CallerError(
            Code.INVALID_VALUE, "The value is not valid Unicode (it contains a lone surrogate)."
        ) from None
    if size == 0:
        raise CallerError(Code.INVALID_VALUE, "The value is empty; a secret must have at least one byte.")
    if size > VALUE_LIMIT:
        raise CallerError(Code.INVALID_VALUE, f"The value has {size} bytes of UTF-8; the limit is 1 MiB (1048576).")
    return value
