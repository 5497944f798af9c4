"""Commands that loosen something need a person at a terminal, unless the person's configuration allows scripts.

Always: this prevents accidents and commands that were slipped into other text. A program can give itself a terminal.
"""

import os
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

from claude_secrets.errors import Code, DeniedError
from claude_secrets.paths import own_directories

_AS_OUTPUT: Final = ', in bash and zsh as: eval "$(claude-secrets export)"'


def require(what: str, scripts_may: Callable[[], bool], *, as_output: bool = False) -> None:
    """Refuse a `what` that runs where no person is, unless the person's configuration lets scripts do it.

    `as_output`: what it prints is for a shell, so that the hint shows how the shell gets it.

    Raises:
        DeniedError: PERSON_ONLY; or what `scripts_may` raises.
    """
    from claude_secrets.policy.config import CONFIG

    if _in_foreground() or scripts_may():
        return
    raise DeniedError(
        Code.PERSON_ONLY,
        f"{what} needs a person at a terminal, and this does not run in the foreground of one.",
        f"Run it in a terminal{_AS_OUTPUT if as_output else ''}. "
        f"For scripts of yours: put `presence: any` into {own_directories().account / CONFIG}",
    )


class Yes(NamedTuple):
    """What `--yes` answers: whether it was `given` to the `command`, which is a person's where `require_person` passes.

    `scripts_may` tells whether the person's configuration lets scripts do what otherwise wants a person at a terminal.
    """

    given: bool
    command: str
    scripts_may: Callable[[], bool]

    def require_person(self, what: str) -> None:
        """Refuse a `what` that runs where no person is. Raises as `require`."""
        require(what, self.scripts_may)


if sys.platform == "win32":

    def _in_foreground() -> bool:
        return sys.stdin is not None and sys.stdin.isatty()

else:

    def _in_foreground() -> bool:
        """Whether this is in the foreground of its terminal: whoever sits there started it, and waits for it."""
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
