"""The six tools: the texts about each tool that the model reads, and the conversion of arguments to a `Call`.

Always: this module itself checks the arguments, and no error repeats an argument. The list of tools is the same at
every start.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from mcp_types import Tool as ToolRow
from mcp_types import ToolAnnotations

from claude_secrets.errors import CallerError, Code
from claude_secrets.model import Call, Tool

INSTRUCTIONS: Final = """\
This server keeps named secrets (tokens, passwords, keys) of the person you work for.
Each project's allowlist says which of them you may use.
If you need a secret: list_secrets shows the names.
In a shell, `claude-secrets exec --only NAME -- COMMAND` gives COMMAND the value without showing it to you.
get_secret returns a value. Use the value, but do not repeat it in text or files.
If a secret is missing, call input_secret: the person types the value where you cannot see it,
and can add a name that is not in the allowlist.
Never ask for secrets in the chat.
Use set_secret only for values that you made or were already given.
Use delete_secret when the person wants a secret deleted.
A refusal begins with a code and says what the person can do.
Tell the person that, and do not try to get around the refusal."""

PROMPT_LIMIT: Final = 2000
"""The maximum number of characters of input_secret's prompt. The page shows fewer."""

_NAME: Final = {
    "type": "string",
    "description": "The secret's name, such as GITHUB_TOKEN.",
    "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$",
}
_NAMES: Final = {
    "total": {"type": "integer", "description": "How many names there are."},
    "visible": {"type": "integer", "description": "How many of them are returned, at most 1,000."},
    "names": {"type": "array", "items": {"type": "string"}},
    "use_only": {
        "type": "array",
        "items": {"type": "string"},
        "description": "The returned names whose values you get only if the person consents.",
    },
}


class Row(NamedTuple):
    """One tool. `properties` are its arguments, which are all text. Arguments in `optional` may be omitted."""

    tool: Tool
    title: str
    description: str
    properties: Mapping[str, Mapping[str, object]] = MappingProxyType({})
    optional: frozenset[str] = frozenset()
    output: Mapping[str, object] | None = None
    read_only: bool = False
    destructive: bool = False

    def listed(self) -> ToolRow:
        """Return the tool in the form in which clients get it."""
        required = [name for name in self.properties if name not in self.optional]
        return ToolRow(
            name=self.tool.value,
            title=self.title,
            description=self.description,
            input_schema=_schema(self.properties, required),
            output_schema=None if self.output is None else _schema(self.output, list(self.output)),
            annotations=ToolAnnotations(
                title=self.title,
                read_only_hint=self.read_only,
                destructive_hint=self.destructive,
                idempotent_hint=self.tool is not Tool.INPUT_SECRET,
                open_world_hint=False,
            ),
        )

    def call(self, arguments: Mapping[str, object] | None) -> Call:
        """Return the call of this tool with `arguments`.

        Raises:
            CallerError: INVALID_ARGUMENTS if the tool does not accept the arguments.
        """
        given = arguments or {}
        expected = ", ".join(self.properties) or "no arguments"
        if given.keys() - self.properties.keys():
            raise CallerError(Code.INVALID_ARGUMENTS, f"Unknown argument: {self.tool.value} takes {expected}.")
        for name in self.properties:
            if name not in given and name not in self.optional:
                raise CallerError(Code.INVALID_ARGUMENTS, f"{self.tool.value} needs the argument '{name}'.")
            if name in given and not isinstance(given[name], str):
                raise CallerError(Code.INVALID_ARGUMENTS, f"The argument '{name}' of {self.tool.value} must be text.")
        texts = {name: text for name, text in given.items() if isinstance(text, str)}
        if len(texts.get("prompt", "")) > PROMPT_LIMIT:
            raise CallerError(Code.INVALID_ARGUMENTS, f"The prompt has more than {PROMPT_LIMIT} characters.")
        return Call(
            tool=self.tool,
            name=texts.get("name", ""),
            value=texts.get("value", ""),
            pattern=texts.get("pattern", ""),
            prompt=texts.get("prompt", ""),
        )


def _schema(properties: Mapping[str, object], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": False}


ROWS: Final = {
    row.tool.value: row
    for row in (
        Row(
            tool=Tool.GET_SECRET,
            title="Get a secret",
            description="Return the exact value of a secret. The value is then part of this conversation: use it, and "
            "do not repeat it. For a use-only secret the person is asked first and may refuse.",
            properties={"name": _NAME},
            read_only=True,
        ),
        Row(
            tool=Tool.SET_SECRET,
            title="Store a secret",
            description="Store a value that you have (such as a token that you just created). Earlier versions are "
            "kept. For a value that the person has, use input_secret instead of asking for it in the chat.",
            properties={"name": _NAME, "value": {"type": "string", "description": "1 byte to 1 MiB of text."}},
        ),
        Row(
            tool=Tool.DELETE_SECRET,
            title="Delete a secret",
            description="Delete a secret. Its versions stay in the store for the person.",
            properties={"name": _NAME},
            destructive=True,
        ),
        Row(
            tool=Tool.LIST_SECRETS,
            title="List secrets",
            description="List the names of the secrets that this project may use, without values.",
            output=_NAMES,
            read_only=True,
        ),
        Row(
            tool=Tool.SEARCH_SECRETS,
            title="Search secrets",
            description="List the names that match a regular expression (RE2, anywhere in the name, ignoring case), "
            "without values.",
            properties={"pattern": {"type": "string", "description": "An RE2 pattern, such as ^github_ or token$."}},
            output={"pattern": {"type": "string"}, **_NAMES},
            read_only=True,
        ),
        Row(
            tool=Tool.INPUT_SECRET,
            title="Let the person enter a secret",
            description="Ask the person to type a secret's value on a separate page. The value goes straight to the "
            "store and you do not see it. Prefer this to asking in the chat. If the name is not in the allowlist, the "
            "person is also asked whether to add it. If it answers WAITING, call it again.",
            properties={
                "name": _NAME,
                "prompt": {"type": "string", "description": "Why you need it; the person sees this as your words."},
            },
            optional=frozenset({"prompt"}),
        ),
    )
}
"""The tools by name, in the order in which they are listed."""
