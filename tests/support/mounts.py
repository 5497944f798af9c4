"""Directories that are mounted at a second path, which takes root on Linux."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.requirements import require, require_real

root_on_linux = pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="bind mounts take root")


@contextmanager
def mounted(directory: Path, at: Path) -> Iterator[Path]:
    """Mount `directory` at a second path, which is made if it is missing, until the block ends."""
    at.mkdir(exist_ok=True)
    done = subprocess.run([require("mount"), "--bind", str(directory), str(at)], capture_output=True, check=False)
    require_real(done.returncode == 0, "a bind mount")
    try:
        yield at
    finally:
        subprocess.run([require("umount"), str(at)], check=True)
