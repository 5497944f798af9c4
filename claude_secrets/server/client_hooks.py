"""Knowledge about the client beyond its capabilities.

Always: a client's own statements about itself only make us more careful.
"""

from typing import Any, Final, TypeAlias

from mcp.server.context import ServerRequestContext

Context: TypeAlias = ServerRequestContext[Any, Any]

_ANSWERED_BY_HOOKS: Final = frozenset({"claude-code"})
"""Clients whose hooks can answer elicitations. A project's own settings can define Claude Code's Elicitation hook.

See https://code.claude.com/docs/en/hooks.
"""


def answers_by_hooks(context: Context) -> bool:
    """Whether a file of the project can make the client answer instead of the person, or learn an address it opens."""
    params = context.session.client_params
    return params is not None and params.client_info.name in _ANSWERED_BY_HOOKS
