"""What the tools answer once a call is allowed: what was stored, names, that there is no such secret.

Always: pure; no value.
"""

from claude_secrets.errors import CallerError, Code
from claude_secrets.model import Call, Done, Tool
from claude_secrets.store.records import Stored


def stored(text: str, stored: Stored) -> Done:
    """A value was stored, or was there already."""
    return Done(text=text, data={"version": stored.version, "changed": stored.changed})


def names(call: Call, *, total: int, names: list[str], use_only: list[str]) -> Done:
    """The names that a list or search found: `total` of them, of which `names` are returned."""
    data: dict[str, object] = {"total": total, "visible": len(names), "names": names, "use_only": use_only}
    return Done(text="", data={"pattern": call.pattern, **data} if call.tool is Tool.SEARCH_SECRETS else data)


def nothing_to_delete(name: str) -> Done:
    """There was no secret of that name."""
    return Done(text=f"There was no '{name}' to delete.", data={"deleted": False})


def not_found(name: str) -> CallerError:
    """There is no secret of that name."""
    return CallerError(
        Code.NOT_FOUND,
        f"There is no secret '{name}' here.",
        "Use input_secret to let the person enter it without showing it to you.",
    )
