"""Real programs that a machine may lack: a test that needs one skips and names it.

`CLAUDE_SECRETS_REQUIRE_REAL=1` in the environment makes every such skip a failure.
"""

import os
import shutil

import pytest

REQUIRED = os.environ.get("CLAUDE_SECRETS_REQUIRE_REAL") == "1"


def require(program: str) -> str:
    """Return the absolute path of `program`; without it, skip the running test or fail as `require_real`."""
    path = shutil.which(program)
    require_real(path is not None, program)
    return str(path)


def require_real(condition: object, name: str) -> None:
    """Skip the running test unless `condition` holds, or fail it if real parts are required."""
    if condition:
        return
    message = f"the real part is missing: {name}"
    if REQUIRED:
        pytest.fail(message)
    pytest.skip(message)
