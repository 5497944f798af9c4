"""The answer to calls after the program's files were replaced or removed.

Always: the answer contains no path. Versions in the answer have only digits and dots.
"""

from typing import Final

from claude_secrets.errors import Code, SecretsError
from claude_secrets.installation import Change
from claude_secrets.untrusted_text import plain

_CLAUDE_CODE: Final = "claude-code"
"""The name that Claude Code gives itself."""

_CLIENT_LIMIT: Final = 40
"""The largest number of characters of a client's name."""


def restart_needed(change: Change, *, client: str) -> SecretsError:
    """Return the error for a call to a server whose files were replaced or removed.

    `client` is the name that the agent's program gives itself. It can be any text.
    """
    if change.removed:
        what, first = "removed", "install Claude Secrets again, and then "
    elif change.before == change.now:
        what, first = "installed again with different content", ""
    else:
        versions = f" ({change.before} → {change.now})" if change.before and change.now else ""
        what, first = f"updated{versions}", ""
    if client == _CLAUDE_CODE:
        how = "reconnect this server: type /mcp in Claude Code, choose the server, and then choose Reconnect."
    else:
        name = plain(client, limit=_CLIENT_LIMIT)
        how = "restart the client that runs this server" + (f" ({name})." if name else ".")
    return SecretsError(
        Code.RESTART_NEEDED,
        f"Claude Secrets was {what} while this server runs, so this call was refused. Nothing was changed.",
        f"The person can {first}{how}",
    )
