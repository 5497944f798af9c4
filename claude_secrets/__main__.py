"""Start the program, from the console script or with `python -P -m claude_secrets`.

Without `-P`, a file in the working directory can replace a module that Python imports before this file runs.
"""

import os
import sys


def _forget_working_directory() -> None:
    """Remove the working directory from the import path, in case `-P` is missing.

    A file in a repository, such as `yaml.py` or `keyring.py`, must not replace a module. A side effect is that a
    checkout of this package cannot run unless it is installed.
    """
    try:
        here = os.path.realpath(os.getcwd())  # noqa: PTH109  import nothing else before the path is clean
    except FileNotFoundError:  # the working directory was deleted
        return
    sys.path[:] = [entry for entry in sys.path if entry and os.path.realpath(entry) != here]


if __name__ == "__main__":
    _forget_working_directory()

from claude_secrets import interrupts  # noqa: E402  the import path must be clean first

interrupts.begin()  # before the slow imports


def entry() -> None:
    """Run this process's command, then end the process."""
    from claude_secrets.cli.main import entry

    entry()


if __name__ == "__main__":
    entry()
