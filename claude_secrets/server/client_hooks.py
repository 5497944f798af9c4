"""What is known of the client at the other end, beyond its capabilities.

Always: what a client says of itself only makes us more careful.
"""

from typing import Any, Final, TypeAlias

from mcp.server.context import ServerRequestContext

Context: TypeAlias = ServerRequestContext[Any, Any]

_ANSWERED_BY_HOOKS: Final = frozenset({"claude-code"})
"""Claude Code's Elicitation hook (https://code.claude.com/docs/en/hooks), which a project's own settings can have."""


def answers_by_hooks(context: Context) -> bool:
    """Whether a file of the project can have the client answer in the person's place, or learn an address it opens."""
    params = context.session.client_params
    return params is not None and params.client_info.name in _ANSWERED_BY_HOOKS
