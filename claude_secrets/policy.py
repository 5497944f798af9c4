"""What is decided, and the sentences that tell it: trust, access, write limits.

Always: pure; a decision depends on nothing but its arguments; no sentence tells an agent how to widen its own
access, only what the person can run.
"""

from dataclasses import dataclass
from math import ceil
from typing import Final

from claude_secrets.errors import Code, DeniedError
from claude_secrets.model import Access, Tool

WINDOW_SECONDS: Final = 60.0
"""The length of a write limit's window."""


@dataclass(frozen=True, slots=True)
class Window:
    """How often something happened since `start` (seconds since 1970)."""

    start: float
    count: int

    def is_over(self, now: float) -> bool:
        """Whether the window has passed; never because the clock was set back."""
        return now >= self.start + WINDOW_SECONDS


def count_one(window: Window | None, *, tool: Tool, limit: int, now: float) -> Window:
    """Count one more call, in a new window where the last is over.

    Raises:
        DeniedError: RATE_LIMITED, with the rule's id and the seconds to wait (at most the window's length).
    """
    if window is None or window.is_over(now):
        return Window(now, 1)
    # A clock that was set back must not stretch the wait beyond one window from now.
    start = min(window.start, now)
    if window.count >= limit:
        seconds = ceil(start + WINDOW_SECONDS - now)
        raise DeniedError(
            Code.RATE_LIMITED,
            f"{tool.value} may be called {limit} times a minute in one project; wait {seconds} seconds "
            f"(rule /tools/{tool.value}/limits/{tool.value}_rate).",
        )
    return Window(start, window.count + 1)


def may_be_read(*, record: Access, allowlisted: Access | None) -> bool:
    """A value goes to an agent only where neither the secret nor the allowlist's entry says use-only."""
    return Access.USE_ONLY not in (record, allowlisted)


def not_allowlisted(name: str, *, command: str, project: str) -> DeniedError:
    """The refusal of a name that the project's allowlist does not have, whether or not there is such a secret."""
    return DeniedError(
        Code.NOT_ALLOWLISTED,
        f"'{name}' is not in this project's allowlist (.claude/secrets.yml).",
        f"If agents of this project should use it, the person can run, in {project}: {command} allow {name}",
    )


def not_trusted(name: str, *, command: str, project: str) -> DeniedError:
    """The refusal of a secret that was stored elsewhere and not granted; does not say where."""
    return DeniedError(
        Code.NOT_TRUSTED,
        f"'{name}' was stored outside this project, and the person has not let this project use it.",
        f"The person can look at what this project wants and decide, in {project}: {command} trust",
    )


def scope_not_trusted(scope: str, *, command: str, project: str) -> DeniedError:
    """The refusal of a scope that this project has not been let claim."""
    return DeniedError(
        Code.NOT_TRUSTED,
        f"This project's file names the scope '{scope}', which the person has not let it use yet.",
        f"The person can look at what this project wants and decide, in {project}: {command} trust",
    )


def use_only(name: str) -> DeniedError:
    """The refusal to hand out the value of a use-only secret."""
    return DeniedError(
        Code.USE_ONLY,
        f"'{name}' is use-only: its value is not given to agents.",
        "Ask the person to do the step that needs the value, or to use it where you need it.",
    )
