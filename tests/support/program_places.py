"""Directories that tests use as the system's own directories of programs."""

import os
from pathlib import Path

from claude_secrets.programs import Places
from tests.support.posix import user


def taken(*directories: Path) -> Places:
    """Return directories that are trusted although the user who runs the tests owns them, and not root."""
    real = [Path(os.path.realpath(each)) for each in directories]
    below = Path(os.path.commonpath(real)) if real else Path("/")
    return Places(directories=directories, owner=user(), below=below)


def make(directory: Path) -> Path:
    """Create a directory that only its owner can change, regardless of the umask."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    return directory
