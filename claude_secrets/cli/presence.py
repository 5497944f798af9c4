"""Commands that loosen something want a person at a terminal; scripts want a line in the person's configuration.

Always: this stops accidents and commands that were slipped into something else; a program can give itself a terminal.
"""

import os
import sys
from argparse import Namespace
from typing import Final

from claude_secrets.errors import Code, DeniedError
from claude_secrets.model import Access
from claude_secrets.paths import own_directories

_AS_OUTPUT: Final = ', in bash and zsh as: eval "$(claude-secrets export)"'


def is_wanted(options: Namespace) -> bool:
    """Whether the command gives agents or whoever has its output more than they have."""
    match options.command:
        case "trust" | "allow" | "export" | "recover":
            return True
        case "access":
            loosens = options.access is Access.READABLE
        case "backup":
            loosens = not options.verify
        case "key":
            loosens = options.verb != "list"
        case _:
            loosens = False
    return bool(loosens)


def require(what: str, options: Namespace) -> None:
    """Refuse a `what` that runs where no person is.

    Raises:
        DeniedError: PERSON_ONLY.
    """
    from claude_secrets.cli.common import find_project, read_settings
    from claude_secrets.policy.config import CONFIG, Presence

    if _in_foreground() or read_settings(options, find_project(options)).presence is Presence.ANY:
        return
    raise DeniedError(
        Code.PERSON_ONLY,
        f"{what} needs a person at a terminal, and this does not run in the foreground of one.",
        f"Run it in a terminal{_AS_OUTPUT if options.command == 'export' else ''}. "
        f"For scripts of yours: put `presence: any` into {own_directories().account / CONFIG}",
    )


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
