"""Fixtures for the policy's tests."""

from pathlib import Path

import pytest

from tests.support.disk import Disk


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """A home directory with projects in it."""
    return Disk(tmp_path)
