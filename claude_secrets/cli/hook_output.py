"""The answers of hooks to a tool's output: replace or report the values in the output, or withhold the output.

Always: an answer contains no value, and no name of a secret that the project may not see. A replacement has the same
shape as the original output, because Claude Code ignores a replacement of another shape and shows the model the
original.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from claude_secrets.agent.store_values import StoreValues
from claude_secrets.cli.guarded_paths import texts
from claude_secrets.paths import command

SHORTEST: Final = 16
"""The fewest characters of a value that is searched for.

Shorter values are not searched for, because they occur in texts by chance.
"""

_SHOWING: Final = 12
"""The fewest characters of a text that can show a value. (One line of a value with several lines is enough.)"""

_KINDS: Final = ("type", "mode", "status", "media_type")
_KIND: Final = re.compile(r"[a-z][a-z_/.+-]{,39}")
_FIELD: Final = re.compile(r"[A-Za-z_]{,40}")
"""Patterns of words by which Claude Code recognises the shape of an output. A withheld output keeps these words."""

_IMAGE: Final = re.compile(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=\s]*")
_UNNAMED: Final = "/"
"""The first character of the placeholders for secrets whose names are not shown. No secret's name begins with it."""

HookEvent: TypeAlias = Mapping[str, Any]
HookAnswer: TypeAlias = dict[str, object] | None


class Shown(NamedTuple):
    """The secrets whose values are in a text: the `names` that the project may see, and whether there are `others`."""

    names: list[str]
    others: bool

    def __str__(self) -> str:
        secrets = [*self.names, *(["a secret that this project's agents have no access to"] if self.others else [])]
        return f"the value of {' and '.join(secrets)}"


def specific(event: str, **fields: object) -> dict[str, object]:
    """Return the part of an answer that is specific to the kind of event."""
    return {"hookSpecificOutput": {"hookEventName": event, **fields}}


def can_show(output: object) -> bool:
    """Return whether an output contains a text that could show a value."""
    return _withheld(output, "") != output


def replaced(event: HookEvent, values: StoreValues) -> HookAnswer:
    """Return the answer that replaces each value in the tool's output by a reference or by `[a secret]`.

    Returns None if the output contains no value.
    """
    from claude_secrets.redaction.finder import Finder, likely
    from claude_secrets.redaction.redactor import Redactor, reference

    output = event.get("tool_response")
    sought = _without(_asked_for(event), values)
    candidates = likely(sought, [_bytes(text) for text in texts(output)])
    if not candidates:
        return None
    finder = Finder(candidates)

    def replace(text: str) -> str:
        redactor = Redactor(finder, lambda name: b"[a secret]" if name.startswith(_UNNAMED) else reference(name))
        return (redactor.feed(_bytes(text)) + redactor.finish()).decode("utf-8", "surrogatepass")

    changed = _mapped(output, replace)
    return None if changed == output else specific("PostToolUse", updatedToolOutput=changed)


def reported(event: HookEvent, values: StoreValues) -> HookAnswer:
    """Return the warning that a failed tool's output, which no hook can change, has shown values to the model."""
    shown = shown_in([str(event.get("error", ""))], values)
    if shown is None:
        return None
    which = f"`{command()} scan --transcripts` shows which. " if shown.others else ""
    each = " ".join(f"`{command()} set {name}`" for name in shown.names) or f"`{command()} set NAME`"
    person = (
        f"A tool failed, and its output showed the model {shown}. Claude Code lets no hook change the output of a "
        f"failed tool. {which}Replace the value soon: {each}"
    )
    model = (
        f"The output of the failed tool shows {shown}. Do not repeat it, write it to a file or put it into a command. "
        "Tell the person, and offer to help replace it with a new value."
    )
    return {"systemMessage": person, **specific("PostToolUseFailure", additionalContext=model)}


def withheld(event: HookEvent | None, why: str) -> HookAnswer:
    """Return the answer that withholds a tool's output because the output could not be searched for values.

    `event` is None if the event itself could not be read.
    """
    doctor = f"`{command()} doctor`"
    text = f"[Claude Secrets withheld this output because it could not check it for secrets ({why}). The person can "
    text += f"run {doctor} to find out what is wrong.]"
    person = f"Claude Secrets withheld a tool's output because it could not check it for secrets ({why}). Run {doctor}."
    if event is None:  # a replacement needs the shape of the output, which is unknown; so the model must stop
        stopped: dict[str, object] = {"continue": False, "stopReason": person, "systemMessage": person}
        return {**stopped, **specific("PostToolUse", updatedToolOutput=text)}
    output = event.get("tool_response")
    changed = _withheld(output, text)
    if changed == output:
        return None
    return {"systemMessage": person, **specific("PostToolUse", updatedToolOutput=changed)}


def unchecked(event: HookEvent | None, why: str) -> HookAnswer:
    """Return the warning that a failed tool's output, which no hook can change, could not be searched for values."""
    if event is not None and not can_show(event.get("error")):
        return None
    person = (
        f"A tool failed, and Claude Secrets could not check its output for secrets ({why}). The model has seen all "
        f"of the output. Run `{command()} doctor` to find out what is wrong."
    )
    model = f"Claude Secrets could not check the output of the failed tool for secrets ({why}). Repeat none of it."
    return {"systemMessage": person, **specific("PostToolUseFailure", additionalContext=model)}


def shown_in(output: Iterable[str], values: StoreValues) -> Shown | None:
    """Return the secrets whose values are in the texts, or None if the texts contain no value."""
    from claude_secrets.redaction.finder import Finder, likely

    data = [_bytes(text) for text in output]
    candidates = likely(_without("", values), data)
    if not candidates:
        return None
    finder = Finder(candidates)
    names = {one.name for text in data for one in finder.find(text, before=None, final=True)[0]}
    named = sorted(name for name in names if not name.startswith(_UNNAMED))
    return Shown(named, others=len(named) < len(names)) if names else None


def _asked_for(event: HookEvent) -> str:
    """Return the name that the agent passed to `get_secret`.

    The gate has already decided whether the agent gets this secret's value.
    """
    tool, given = str(event.get("tool_name")), event.get("tool_input")
    if not (tool.startswith("mcp__") and tool.endswith("__get_secret") and isinstance(given, dict)):
        return ""
    return str(given.get("name"))


def _without(asked: str, values: StoreValues) -> dict[str, str]:
    """Return the values to search for, by name.

    The value that the agent asked for, and any value inside it, are left out.
    """
    sought = {**values.named, **{f"{_UNNAMED}{number}": value for number, value in enumerate(values.others)}}
    answer = "" if asked in values.use_only else values.named.get(asked, "")
    return {name: value for name, value in sought.items() if len(value) >= SHORTEST and value not in answer}


def _withheld(output: object, text: str, field: str = "") -> object:
    """Return a copy of the output with the same shape, in which `text` replaces every text that could show a value."""
    if isinstance(output, str):
        is_shape = len(output) < _SHOWING or (field in _KINDS and _KIND.fullmatch(output)) or _IMAGE.fullmatch(output)
        return output if is_shape else text
    if isinstance(output, list):
        changed = [_withheld(one, text) for one in output]
        return changed[:1] if changed != output and all(one == text for one in changed) else changed
    if isinstance(output, dict) and output.get("type") != "image":
        return {
            key if _FIELD.fullmatch(key) else _withheld(key, text): _withheld(one, text, key)
            for key, one in output.items()
        }
    return output


def _mapped(value: object, replace: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, list):
        return [_mapped(one, replace) for one in value]
    if isinstance(value, dict):
        return {replace(key): _mapped(one, replace) for key, one in value.items()}
    return value


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
