"""Turn off core dumps of this process, because they would contain secret values.

Always: the hard limit does not change, so the original limits can be restored for programs that this process starts or
becomes.
"""

import sys
from typing import Final

_before: Final[list[tuple[int, int]]] = []


def forbid() -> None:
    """Turn off core dumps of this process.

    PR_SET_DUMPABLE is not used, because it would also hide this process's environment. Commands that this process
    starts could then not detect that a person runs them.
    """
    if sys.platform != "win32":  # Windows has no core dumps
        import resource

        limits = resource.getrlimit(resource.RLIMIT_CORE)
        if not _before:
            _before.append(limits)
        # One byte is too small for any core file. With the limit 1, Linux does not start the program that
        # `core_pattern` names; with 0 it does.
        soft = 1 if sys.platform == "linux" and limits[1] else 0
        resource.setrlimit(resource.RLIMIT_CORE, (soft, limits[1]))


def give_back() -> None:
    """Restore the original limits. Call this right before this process becomes another program."""
    if sys.platform != "win32" and _before:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, _before[0])
