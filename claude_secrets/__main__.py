"""`python -m claude_secrets`: the same as the console script."""

import os
import sys


def _forget_working_directory() -> None:
    """Take the working directory off the import path, where `python -m` puts it first.

    A repository's own `yaml.py` or `keyring.py` must never run. (A checkout of this very package stays importable
    only as it is installed.)
    """
    try:
        here = os.path.realpath(os.getcwd())  # noqa: PTH109  nothing may be imported before this is done
    except FileNotFoundError:  # it was deleted
        return
    sys.path[:] = [entry for entry in sys.path if entry and os.path.realpath(entry) != here]


if __name__ == "__main__":
    _forget_working_directory()
    from claude_secrets.cli import entry

    entry()
