"""The basic types of Claude Secrets, all immutable, and the checks of names, scopes and values.

Always: this module does no input or output. No `repr` contains a secret's value.
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
    """The six MCP tools."""

    GET_SECRET = "get_secret"
    SET_SECRET = "set_secret"
    DELETE_SECRET = "delete_secret"
    LIST_SECRETS = "list_secrets"
    SEARCH_SECRETS = "search_secrets"
    INPUT_SECRET = "input_secret"


class Access(StrEnum):
    """Whether agents can read a secret's value, or only use it."""

    READABLE = "readable"
    USE_ONLY = "use-only"


class Expiry(Enum):
    """When a newly stored value expires if the caller gives no time."""

    UNCHANGED = "unchanged"
    """A new value never expires. If the same value is stored again, it keeps its expiry time."""
    NEVER = "never"


class EnteredBy(StrEnum):
    """Whether an agent or a person entered a version of a secret."""

    AGENT = "agent"
    PERSON = "person"


class Channel(StrEnum):
    """The channel through which the person answered, or the reason why there is no answer."""

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
    """The person refused several of the project's questions."""


class Call(NamedTuple):
    """One tool call with checked arguments.

    Arguments that the tool does not take are empty. If `use` is set, the value goes into a program's environment, and
    the agent does not see it.
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
    """The value and access that the person entered in answer to `question`, and the channel of the answer.

    `adds` is whether the person agreed to add the name to the project's allowlist. If a secret of this name was stored
    outside the project, `consent` is the person's answer to the question about that secret.
    """

    value: str
    access: Access
    question: "InputQuestion"
    channel: Channel = Channel.PAGE
    adds: bool = False
    consent: "Consented | Declined | None" = None

    def __repr__(self) -> str:
        return "Entered(...)"


class Consented(NamedTuple):
    """The person's consent to the `ConsentQuestion` that has the same `digest`.

    If `session` is set, the consent allows reading until the server ends. `earlier` contains the person's consents to
    earlier questions about the same call.
    """

    digest: str
    channel: Channel
    session: bool = False
    earlier: tuple["Consented", ...] = ()

    def all(self) -> dict[str, "Consented"]:
        """Return all consents for the call. The keys are the digests of the questions."""
        return {one.digest: one for one in (*self.earlier, self)}


class Declined(NamedTuple):
    """The person did not consent: they refused (`said_no`), did not answer or could not be asked.

    `digest` is the digest of the question.
    """

    digest: str
    channel: Channel
    said_no: bool


Answer: TypeAlias = Entered | Consented | Declined


class Done(NamedTuple):
    """A call that was carried out. `text` may be a secret's value; `data` never contains a secret's value."""

    text: str
    data: Mapping[str, object] = MappingProxyType({})

    def __repr__(self) -> str:
        return "Done(...)"


class Refused(NamedTuple):
    """A call that was not carried out, and why."""

    error: SecretsError


class InputQuestion(NamedTuple):
    """The question that the person sees when an agent asks them to enter a value.

    The value will be stored in `scope`. `replaces` is the number of the current version, which the new value would
    replace. `store` is the store's path if the store is not the usual store. `prompt` is the agent's own text: never
    trust it or render it as markup.

    If `adds` is set, the name is not in the project's allowlist. A value is then stored only if the person also agrees
    to add the name. Such a question does not depend on whether a secret of this name exists.
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
    adds: bool = False


class ConsentKind(StrEnum):
    """The kinds of consent that a call can need."""

    WORK_TREE = "work-tree"
    SECRET = "secret"
    SCOPE = "scope"
    READ = "read"
    APPROVAL = "approval"


class ConsentItem(NamedTuple):
    """One consent that a call needs: the subject of the consent, and the words that the person sees.

    If a rule requires the consent, `said` is the message that the rule's author wrote: never trust it or render it as
    markup. `by_project` is whether the rule comes from the project's own file.
    """

    kind: ConsentKind
    subject: str
    words: str
    said: str = ""
    by_project: bool = False


class ConsentQuestion(NamedTuple):
    """The question that the person must answer before a call is carried out.

    The question covers exactly `items`, for one project.

    `digest` binds an answer to the call and its arguments, to the project and the content of its files, and to the
    items. If `dialog_only` is set, the person's settings require a dialog, which no client can answer for the person.
    """

    tool: Tool
    name: str
    project: str
    items: tuple[ConsentItem, ...]
    digest: str
    dialog_only: bool = False

    @property
    def for_session(self) -> bool:
        """Whether the person can let the consent stay valid until the server ends."""
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
        CallerError: INVALID_NAME; the message does not repeat the given text, because it may be a secret value.
    """
    if isinstance(name, str) and is_name(name):
        return name
    raise CallerError(
        Code.INVALID_NAME,
        "A secret's name must have 1 to 128 ASCII letters, digits, '_', '.' or '-', and not begin with '.' or '-'.",
    )


def check_scope(scope: object) -> str:
    """Return `scope` if it is a valid scope name: 1 to 64 of the characters that a secret's name may contain.

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
    """Remove the newline after a single line of text, because `echo token |` and pasting add it unintentionally.

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
        # From None, because the exception contains the value.
        raise CallerError(
            Code.INVALID_VALUE, "The value is not valid Unicode (it contains a lone surrogate)."
        ) from None
    if size == 0:
        raise CallerError(Code.INVALID_VALUE, "The value is empty; a secret must have at least one byte.")
    if size > VALUE_LIMIT:
        raise CallerError(Code.INVALID_VALUE, f"The value has {size} bytes of UTF-8; the limit is 1 MiB (1048576).")
    return value
