"""Commands that loosen something need a person at a terminal, unless the person's configuration allows scripts.

Always: this prevents accidents, and commands hidden in pasted text or scripts. It does not stop a program that gives
itself a terminal.
"""

import os
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

from claude_secrets.errors import Code, DeniedError
from claude_secrets.paths import own_directories

_AS_OUTPUT: Final = ', in bash and zsh as: eval "$(claude-secrets export)"'


def require(what: str, scripts_may: Callable[[], bool], *, as_output: bool = False) -> None:
    """Refuse an action, named `what`, without a person at a terminal, unless the configuration allows scripts.

    `as_output`: a shell evaluates the command's output, so the hint shows how to do that.

    Raises:
        DeniedError: PERSON_ONLY, or what `scripts_may` raises.
    """
    from claude_secrets.policy.config import CONFIG

    if _in_foreground() or scripts_may():
        return
    raise DeniedError(
        Code.PERSON_ONLY,
        f"{what} needs a person at a terminal, but it does not run in the foreground of one.",
        f"Run it in a terminal{_AS_OUTPUT if as_output else ''}. "
        f"To allow it in your scripts, put `presence: any` into {own_directories().account / CONFIG}",
    )


class Yes(NamedTuple):
    """The answer that `--yes` gives to questions of `command`: whether it was `given`, and whether it counts.

    It counts as a person's answer if `require_person` passes. `scripts_may` returns whether the configuration lets
    scripts run commands that otherwise need a person at a terminal.
    """

    given: bool
    command: str
    scripts_may: Callable[[], bool]

    def require_person(self, what: str) -> None:
        """Refuse an action, named `what`, without a person at a terminal. Raises as `require`."""
        require(what, self.scripts_may)


if sys.platform == "win32":

    def _in_foreground() -> bool:
        return sys.stdin is not None and sys.stdin.isatty()

else:

    def _in_foreground() -> bool:
        """Whether this is the foreground process of its terminal: a person there started it and waits for it."""
        try:
            terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:  # there is none
            return False
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        except OSError:  # it has gone
            return False
        finally:
            os.close(terminal)
