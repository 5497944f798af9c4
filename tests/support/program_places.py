"""Directories that tests take for the system's own places of programs."""

import os
from pathlib import Path

from claude_secrets.programs import Places


def taken(*directories: Path) -> Places:
    """Places that count although they are not root's: whoever runs the tests has them, below where they all are."""
    real = [Path(os.path.realpath(each)) for each in directories]
    below = Path(os.path.commonpath(real)) if real else Path("/")
    return Places(directories=directories, owner=os.getuid(), below=below)


def make(directory: Path) -> Path:
    """Make a directory that only its owner can change, whatever the umask is."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    return directory
