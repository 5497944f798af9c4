"""Fixtures of the tests of the store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.store_world import Keep
from tests.support.tampering_scenario import Victim


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Keep]:
    """A place where there is no store yet."""
    keep = Keep(tmp_path)
    yield keep
    keep.close()


@pytest.fixture
def keep(bare: Keep) -> Keep:
    """A store with its key in a file."""
    return bare.create()


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Victim:
    """A store with a past, which all tests of a file share; they change copies of it."""
    return Victim(tmp_path_factory.mktemp("victim"))
