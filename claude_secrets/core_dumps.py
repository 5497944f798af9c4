"""No core dumps of this process, because it holds values.

Always: programs that this process starts or becomes get the original limits back, since the hard limit stays.
"""

import sys
from contextlib import suppress
from typing import Final

_before: Final[list[tuple[int, int]]] = []


def forbid() -> None:
    """Turn core dumps of this process off.

    Not by PR_SET_DUMPABLE: it also hides the environment, and a command below us could not tell that a person runs it.
    """
    with suppress(ImportError):  # Windows has none to turn off
        import resource

        limits = resource.getrlimit(resource.RLIMIT_CORE)
        if not _before:
            _before.append(limits)
        # A byte is too little for any file, and Linux gives a program in `core_pattern` nothing then. By 0 it would.
        soft = 1 if sys.platform == "linux" and limits[1] else 0
        resource.setrlimit(resource.RLIMIT_CORE, (soft, limits[1]))


def give_back() -> None:
    """Set the limits of our start again, right before this process becomes another program."""
    if _before:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, _before[0])
