"""Directories and files that are mounted at a second path. Mounting needs root on Linux."""

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
def mounted(original: Path, at: Path, *, read_only: bool = False) -> Iterator[Path]:
    """Mount a directory or file at a second path until the block ends. The second path is made if it is missing."""
    if original.is_dir():
        at.mkdir(exist_ok=True)
    else:
        at.touch()
    done = subprocess.run([require("mount"), "--bind", str(original), str(at)], capture_output=True, check=False)
    require_real(done.returncode == 0, "a bind mount")
    try:
        if read_only:
            subprocess.run([require("mount"), "-o", "remount,ro,bind", str(at)], check=True)
        yield at
    finally:
        subprocess.run([require("umount"), "-l", str(at)], check=True)  # also if a failed test left a file open
