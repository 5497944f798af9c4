"""Turn off core dumps of this process, because it holds values.

Always: the hard limit stays, so programs that this process starts or becomes can get the original limits back.
"""

import sys
from contextlib import suppress
from typing import Final

_before: Final[list[tuple[int, int]]] = []


def forbid() -> None:
    """Turn off core dumps of this process.

    PR_SET_DUMPABLE would also hide the environment. Commands below this process could then not tell that a person runs
    them.
    """
    with suppress(ImportError):  # Windows has no core dumps
        import resource

        limits = resource.getrlimit(resource.RLIMIT_CORE)
        if not _before:
            _before.append(limits)
        # One byte is too small for any file. With 1 Linux does not start a program in `core_pattern`; with 0 it does.
        soft = 1 if sys.platform == "linux" and limits[1] else 0
        resource.setrlimit(resource.RLIMIT_CORE, (soft, limits[1]))


def give_back() -> None:
    """Restore the original limits, right before this process becomes another program."""
    if _before:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, _before[0])
