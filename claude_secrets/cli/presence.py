"""Require a person at a terminal for commands that give more access, unless the configuration allows scripts.

Always: this check prevents accidents, and stops commands that are hidden in pasted text or scripts. It does not stop a
program that creates a terminal for itself.
"""

import os
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

from claude_secrets.errors import Code, DeniedError
from claude_secrets.paths import own_directories

_AS_OUTPUT: Final = ', in bash and zsh as: eval "$(claude-secrets export)"'


def require(what: str, scripts_may: Callable[[], bool], *, as_output: bool = False) -> None:
    """Refuse an action unless a person runs it at a terminal, or the configuration allows scripts.

    `what` names the action in the error. If `as_output` is set, a shell must evaluate the command's output, and the
    hint shows how.

    Raises:
        DeniedError: PERSON_ONLY, or an error from `scripts_may`.
    """
    from claude_secrets.policy.config import CONFIG

    if _in_foreground() or scripts_may():
        return
    raise DeniedError(
        Code.PERSON_ONLY,
        f"{what} needs a person at a terminal, but this command does not run in a terminal's foreground.",
        f"Run it in a terminal{_AS_OUTPUT if as_output else ''}. "
        f"To allow it in your scripts, put `presence: any` into {own_directories().account / CONFIG}",
    )


class Yes(NamedTuple):
    """Whether `--yes` was `given` to `command`, and whether it counts as a person's answer.

    `--yes` counts as a person's answer if `require_person` raises no error. `scripts_may` returns whether the
    configuration lets scripts run commands that otherwise need a person at a terminal.
    """

    given: bool
    command: str
    scripts_may: Callable[[], bool]

    def require_person(self, what: str) -> None:
        """Call `require` for the action that `what` names. Raises the same errors as `require`."""
        require(what, self.scripts_may)


if sys.platform == "win32":

    def _in_foreground() -> bool:
        from claude_secrets.prompt.terminal import is_there

        return is_there()

else:

    def _in_foreground() -> bool:
        """Whether this process is in its terminal's foreground: a person started it there and is waiting for it."""
        try:
            terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:  # there is no terminal
            return False
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        except OSError:  # the terminal has gone
            return False
        finally:
            os.close(terminal)
