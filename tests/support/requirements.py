"""Real parts that a bare machine may lack: a test that needs one skips by its name, or fails where all are required.

`CLAUDE_SECRETS_REQUIRE_REAL=1` in the environment makes every such skip a failure.
"""

import os
import shutil

import pytest

REQUIRED = os.environ.get("CLAUDE_SECRETS_REQUIRE_REAL") == "1"


def require(program: str) -> str:
    """The absolute path of `program`; without it the running test skips, or fails where real parts are required."""
    path = shutil.which(program)
    require_real(path is not None, program)
    return str(path)


def require_real(condition: object, name: str) -> None:
    """Go on if `condition` holds; else skip the running test, or fail it where real parts are required."""
    if condition:
        return
    message = f"the real part is missing: {name}"
    if REQUIRED:
        pytest.fail(message)
    pytest.skip(message)
