"""What is decided, and the sentences that tell it: trust, access, write limits.

Always: pure; a decision depends on nothing but its arguments; no sentence tells an agent how to widen its own
access, only what the person can run.
"""

from dataclasses import dataclass, replace
from math import ceil, floor
from typing import Final

from claude_secrets.errors import Code, DeniedError
from claude_secrets.model import Access, Tool

WINDOW_SECONDS: Final = 60.0
"""The length of a write limit's window."""


@dataclass(frozen=True, slots=True)
class Window:
    """How often something happened in a window of `seconds` since `start` (seconds since 1970), and in the one before.

    Both together stand for a window that slides: the one before counts for as much as still overlaps.
    """

    start: float
    count: int = 0
    before: int = 0
    seconds: float = WINDOW_SECONDS

    def at(self, now: float) -> "Window":
        """The window that `now` lies in. A clock set back by less than a window frees nothing."""
        windows = floor((now - self.start) / self.seconds)
        if windows in (-1, 0):
            return self
        before = self.count if windows == 1 else 0
        return Window(self.start + self.seconds if before else now, 0, before, self.seconds)

    def is_over(self, now: float) -> bool:
        """Whether nothing of it counts any more."""
        window = self.at(now)
        return window.count == window.before == 0

    def wait(self, limit: int, now: float) -> float:
        """Seconds until one more fits in `limit`; zero or less: it fits now."""
        elapsed = max(0.0, now - self.start)
        if self.count >= limit:  # the next window begins as full as this one
            return self.seconds * (2 - (limit - 1) / self.count) - elapsed
        if self.count + self.before < limit:
            return 0.0
        return self.seconds * (1 - (limit - 1 - self.count) / self.before) - elapsed


def count_one(window: Window | None, *, tool: Tool, limit: int, now: float) -> Window:
    """Count one more call.

    Raises:
        DeniedError: RATE_LIMITED, with the rule's id and the seconds to wait.
    """
    window = Window(now) if window is None else window.at(now)
    wait = window.wait(limit, now)
    if wait > 0:
        raise DeniedError(
            Code.RATE_LIMITED,
            f"{tool.value} may be called {limit} times a minute in one project; wait {ceil(wait)} seconds "
            f"(rule /tools/{tool.value}/limits/{tool.value}_rate).",
        )
    return replace(window, count=window.count + 1)


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
