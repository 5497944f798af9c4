"""Run a program, and filter its output. Nothing else changes for the program and for the person.

Always: our process ends with the exit code or signal of the program. No output is lost unless writing fails.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from claude_secrets.exec.streams import Filter

Tell: TypeAlias = Callable[[OSError], None]


def run(
    program: str,
    words: Sequence[str],
    environment: Mapping[str, str],
    make_filter: Callable[[], Filter],
    tell: Tell,
    *,
    sealed: bool,
) -> int:
    """Run a program to its end, and return its exit code. If a signal ends the program, end by the same signal.

    If output could not be written, `tell` is called with the error, and the exit code is not 0. A `sealed` program
    inherits no descriptor above 2 through which its output could bypass the filter. On Windows, no program that is
    started here inherits one, so `sealed` has no effect.

    Raises:
        OSError: the program cannot be started.
    """
    if sys.platform == "win32":
        from claude_secrets.exec import windows_child

        code = windows_child.run_filtered(program, words[1:], environment, make_filter, tell)
    else:
        from claude_secrets.exec import posix_child

        code = posix_child.run(program, words, environment, make_filter, tell, sealed=sealed)
    return code
