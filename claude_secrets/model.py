"""The nouns of the project as small frozen values, and the checks on names, scopes and values.

Always: nothing here does input or output, and no value of a secret appears in a `repr`.
"""

import re
from collections.abc import Mapping
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from claude_secrets.errors import CallerError, Code, SecretsError

NAME_LIMIT = 128
"""Characters in a name, at most."""

VALUE_LIMIT = 1024 * 1024
"""Bytes of UTF-8 in a value, at most."""

KEPT_VERSIONS = 10
"""How many versions of a secret are kept at least, unless the person's settings say otherwise."""

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
    """Whether agents may be given the value."""

    READABLE = "readable"
    USE_ONLY = "use-only"


class Expiry(Enum):
    """When a stored value expires, where no time is given."""

    UNCHANGED = "unchanged"
    """A new value never; the same value when it did before."""
    NEVER = "never"


class EnteredBy(StrEnum):
    """Who typed or sent a version."""

    AGENT = "agent"
    PERSON = "person"


class Channel(StrEnum):
    """How an answer came, or why none could."""

    PAGE = "page"
    DIALOG = "dialog"
    CLIENT = "client"
    EARLIER = ""
    """The person said no within the last ten minutes."""
    NONE = "none"
    """Neither client nor desktop can ask."""
    AGENT = "agent"
    """An agent started the server."""
    BUSY = "busy"
    """Another question is being put."""
    PAUSED = "paused"
    """Several questions stayed unanswered."""
    REFUSED = "refused"
    """The person refused several questions of the project."""


class Call(NamedTuple):
    """One tool call with arguments that have been checked.

    An argument that the tool does not take is empty. `use`: the value is for a program's environment and not shown to
    the agent.
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
    """What the person entered for the `question` that they were shown, and by which channel."""

    value: str
    access: Access
    question: "InputQuestion"
    channel: Channel = Channel.PAGE

    def __repr__(self) -> str:
        return "Entered(...)"


class Consented(NamedTuple):
    """A person's yes to the `ConsentQuestion` of that digest; `session`: for reading, until the server ends.

    `earlier` are their answers to the questions that the same call led to before.
    """

    digest: str
    channel: Channel
    session: bool = False
    earlier: tuple["Consented", ...] = ()

    def all(self) -> dict[str, "Consented"]:
        """Every answer for the call, by the digest of its question."""
        return {one.digest: one for one in (*self.earlier, self)}


class Declined(NamedTuple):
    """No yes: the person `said_no`, or nobody answered or could be asked. `digest` as in `Consented`."""

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
    """What a person is shown when an agent asks them to enter a value.

    `scope` is where it will be stored, `replaces` the number of the version that would no longer be current, `store`
    the store's path when it is not the usual one, `prompt` the agent's own words (never to be trusted or rendered as
    markup).
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
    """What a call needs the person's consent for."""

    WORK_TREE = "work-tree"
    SECRET = "secret"
    SCOPE = "scope"
    READ = "read"
    APPROVAL = "approval"


class ConsentItem(NamedTuple):
    """One thing a call needs consent for: what it is about, and the words in which the person is asked.

    `said` is what the author of the rule says that makes it so (never to be trusted or rendered as markup);
    `by_project`: a rule of the project's own file does.
    """

    kind: ConsentKind
    subject: str
    words: str
    said: str = ""
    by_project: bool = False


class ConsentQuestion(NamedTuple):
    """What a person is asked before a call is carried out: exactly `wants`, for one project.

    `digest` binds an answer to the call, its arguments, the project, what its files say and the wants.
    `dialog_only`: the person wants to be asked by a dialog, which no client can answer in their place.
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
    """Whether a text can name a secret."""
    return _NAME.fullmatch(text) is not None


def check_name(name: object) -> str:
    """Return `name` if it can name a secret.

    Raises:
        CallerError: INVALID_NAME, without repeating what was given: it may be a value in the wrong place.
    """
    if isinstance(name, str) and is_name(name):
        return name
    raise CallerError(
        Code.INVALID_NAME,
        "A secret's name has 1 to 128 ASCII letters, digits, '_', '.' or '-', and does not begin with '.' or '-'.",
    )


def check_scope(scope: object) -> str:
    """Return `scope` if it can name a scope (1 to 64 characters, spelled like a secret's name).

    Raises:
        CallerError: INVALID_NAME.
    """
    if isinstance(scope, str) and _SCOPE.fullmatch(scope):
        return scope
    raise CallerError(
        Code.INVALID_NAME,
        "A scope has 1 to 64 ASCII letters, digits, '_', '.' or '-', and does not begin with '.' or '-'.",
    )


def without_stray_newline(text: str) -> str:
    """Drop the newline after a single line, which `echo token |` and pasting leave and nobody means.

    In several lines, a private key's for example, the last newline belongs.
    """
    line = text.removesuffix("\n").removesuffix("\r")
    return text if "\n" in line else line


def check_value(value: object) -> str:
    """Return `value` if it can be stored: valid Unicode, 1 byte to 1 MiB of UTF-8.

    Raises:
        CallerError: INVALID_VALUE, without repeating any of it.
    """
    if not isinstance(value, str):
        raise CallerError(Code.INVALID_VALUE, "A secret's value must be text.")
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        # From None: the exception carries the value.
        raise CallerError(Code.INVALID_VALUE, "The value is not valid Unicode (it holds a lone surrogate).") from None
    if size == 0:
        raise CallerError(Code.INVALID_VALUE, "The value is empty; a secret has at least one byte.")
    if size > VALUE_LIMIT:
        raise CallerError(Code.INVALID_VALUE, f"The value has {size} bytes of UTF-8; 1 MiB (1048576) is the limit.")
    return value
