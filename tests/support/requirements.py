"""Real programs that a machine may lack: a test that needs a missing program is skipped and names it.

`CLAUDE_SECRETS_REQUIRE_REAL=1` in the environment makes every such skip a failure.
"""

import os
import shutil

import pytest

REQUIRED = os.environ.get("CLAUDE_SECRETS_REQUIRE_REAL") == "1"


def require(program: str) -> str:
    """Return the absolute path of `program`. Without it, skip the running test or fail, as `require_real` does."""
    path = shutil.which(program)
    require_real(path is not None, program)
    return str(path)


def require_real(condition: object, name: str) -> None:
    """Skip the running test unless `condition` is true. If real parts are required, fail it instead."""
    if condition:
        return
    message = f"the real part is missing: {name}"
    if REQUIRED:
        pytest.fail(message)
    pytest.skip(message)
