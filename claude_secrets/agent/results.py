"""Make the tools' answers to allowed calls.

Always: these functions are pure. Answers never contain a value.
"""

from claude_secrets.errors import CallerError, Code
from claude_secrets.model import Call, Done, Tool
from claude_secrets.store.records import Stored


def stored(text: str, stored: Stored) -> Done:
    """The answer after a value was stored, or if the store already had the same value."""
    return Done(text=text, data={"version": stored.version, "changed": stored.changed})


def names(call: Call, *, total: int, names: list[str], use_only: list[str]) -> Done:
    """The answer to a list or search that found `total` names and returns `names`."""
    data: dict[str, object] = {"total": total, "visible": len(names), "names": names, "use_only": use_only}
    return Done(text="", data={"pattern": call.pattern, **data} if call.tool is Tool.SEARCH_SECRETS else data)


def nothing_to_delete(name: str) -> Done:
    """The answer to a deletion of a secret that does not exist."""
    return Done(text=f"There was no '{name}' to delete.", data={"deleted": False})


def not_found(name: str) -> CallerError:
    """The error if the secret does not exist."""
    return CallerError(
        Code.NOT_FOUND,
        f"There is no secret '{name}' here.",
        "Use input_secret to let the person enter it without showing it to you.",
    )
