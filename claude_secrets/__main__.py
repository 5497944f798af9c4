"""Where the program begins: the console script imports this, and `python -P -m claude_secrets` runs it.

Without `-P` Python imports modules of its own from the working directory before a line of this file runs.
"""

import os
import sys


def _forget_working_directory() -> None:
    """Remove the working directory from the import path, for who forgot `-P`.

    A repository's own `yaml.py` or `keyring.py` must not run. (A checkout of this package can be imported only if it
    is installed.)
    """
    try:
        here = os.path.realpath(os.getcwd())  # noqa: PTH109  nothing may be imported before this is done
    except FileNotFoundError:  # it was deleted
        return
    sys.path[:] = [entry for entry in sys.path if entry and os.path.realpath(entry) != here]


if __name__ == "__main__":
    _forget_working_directory()

from claude_secrets import interrupts  # noqa: E402  nothing may be imported before

interrupts.begin()  # before the imports that take long


def entry() -> None:
    """Run the command of this process, and end it."""
    from claude_secrets.cli.main import entry

    entry()


if __name__ == "__main__":
    entry()
