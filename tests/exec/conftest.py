"""Fixtures for the tests of programs that receive values."""

from pathlib import Path

import pytest

from tests.support.exec_values import TOKEN, VALUES
from tests.support.machine import Machine


@pytest.fixture(scope="module", name="machine")
def machine_with_values(shared_machine: Machine) -> Machine:
    shared_machine.project("api")
    for name, value in {**VALUES, "TOKEN": TOKEN}.items():
        shared_machine.keep(name, value)
    return shared_machine


@pytest.fixture
def here(machine: Machine, tmp_path: Path) -> Path:
    """An empty directory in the person's home that is not a project."""
    place = machine.home / tmp_path.name
    place.mkdir()
    return place
