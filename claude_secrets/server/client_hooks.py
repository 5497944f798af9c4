"""Facts about a client that its declared capabilities do not show.

Always: the name that a client gives itself can only make us more careful.
"""

from typing import Any, Final, TypeAlias

from mcp.server.context import ServerRequestContext

Context: TypeAlias = ServerRequestContext[Any, Any]

_ANSWERED_BY_HOOKS: Final = frozenset({"claude-code"})
"""Clients whose hooks can answer elicitations. A project's own settings can define Claude Code's Elicitation hook.

See https://code.claude.com/docs/en/hooks.
"""


def answers_by_hooks(context: Context) -> bool:
    """Whether hooks in a project's file can answer questions instead of the person, or can read a page's address."""
    params = context.session.client_params
    return params is not None and params.client_info.name in _ANSWERED_BY_HOOKS
