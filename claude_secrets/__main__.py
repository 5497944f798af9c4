"""The start of the program: the console script imports this module, and `python -P -m claude_secrets` runs it.

Without `-P` Python imports its own modules from the working directory before any line of this file runs.
"""

import os
import sys


def _forget_working_directory() -> None:
    """Remove the working directory from the import path, in case `-P` is missing.

    A repository's own `yaml.py` or `keyring.py` must not run. (So a checkout of this package can be imported only if
    it is installed.)
    """
    try:
        here = os.path.realpath(os.getcwd())  # noqa: PTH109  nothing may be imported before this is done
    except FileNotFoundError:  # it was deleted
        return
    sys.path[:] = [entry for entry in sys.path if entry and os.path.realpath(entry) != here]


if __name__ == "__main__":
    _forget_working_directory()

from claude_secrets import interrupts  # noqa: E402  the import path must be clean first

interrupts.begin()  # before the imports that take long


def entry() -> None:
    """Run the command of this process, and end it."""
    from claude_secrets.cli.main import entry

    entry()


if __name__ == "__main__":
    entry()
