"""The program as whole-program tests run it: the real one, whose account has its home where the environment says.

What an environment must not choose (the home of the account, the places of programs) is told here by variables of the
tests alone, which the program itself never sees.
"""

import os
import sys
from pathlib import Path

ACCOUNT_HOME = "TESTS_ACCOUNT_HOME"
"""Names the account's home, where that is not HOME."""

CLIENT_RECORDS = "TESTS_CLIENT_RECORDS"
"""Names where servers note their clients. Without it they note none: of most tests the client is the person, too."""
HOOK_SECONDS = "TESTS_HOOK_SECONDS"
"""After how many seconds a hook gives up."""

PLACES = "TESTS_PLACES"
"""Directories, written as a PATH, that are the places of programs instead of the system's."""


def main() -> None:
    """Run the program on this process's arguments."""
    from claude_secrets import interrupts

    interrupts.begin()
    from claude_secrets import client_records, paths
    from claude_secrets.cli import entry

    sys.argv[0] = str(Path(paths.__file__).with_name("__main__.py"))
    home = os.environ.pop(ACCOUNT_HOME, None) or os.environ.get("HOME")
    if home is not None:
        paths.account_home = lambda: Path(home)
    records = os.environ.pop(CLIENT_RECORDS, None) or "/dev/null/clients"
    client_records.directory = lambda: Path(records)
    places = os.environ.pop(PLACES, None)
    if places is not None:
        _take(places)
    seconds = os.environ.pop(HOOK_SECONDS, None)
    if seconds is not None:
        from claude_secrets.cli import hook

        hook.SECONDS = hook.OUTPUT_SECONDS = float(seconds)
    entry()


def _take(places: str) -> None:
    # Not `tests.places`, which the program's own import path does not have.
    from claude_secrets.human import programs

    directories = [Path(os.path.realpath(each)) for each in places.split(os.pathsep)]
    below = Path(os.path.commonpath(directories))
    programs.SYSTEM = programs.Places(directories=directories, owner=os.getuid(), below=below)


if __name__ == "__main__":
    main()
