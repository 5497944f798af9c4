"""Fixtures for the store's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.store_world import StoreOnDisk
from tests.support.tampering_scenario import TamperingScenario


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[StoreOnDisk]:
    """A path at which there is no store yet."""
    on_disk = StoreOnDisk(tmp_path)
    yield on_disk
    on_disk.close()


@pytest.fixture
def on_disk(bare: StoreOnDisk) -> StoreOnDisk:
    """A store with its key in a file."""
    return bare.create()


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> TamperingScenario:
    """A store with a history. All tests of a file share it and change copies of it."""
    return TamperingScenario(tmp_path_factory.mktemp("scenario"))
