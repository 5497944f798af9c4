"""Fixtures for the command line's tests."""

import pytest

from tests.support.hook_events import KEPT, OTHERS, SHORT, VALUE
from tests.support.machine import Machine


@pytest.fixture(scope="module")
def machine_with_two_projects(shared_machine: Machine) -> Machine:
    """Two projects whose agents may use different secrets; all tests of a file share them."""
    a, b = shared_machine.project("a"), shared_machine.project("b")
    shared_machine.run("set", "TOKEN", at=a, stdin=VALUE)
    shared_machine.run("set", "KEPT", "--use-only", at=a, stdin=KEPT)
    shared_machine.run("set", "SHORT", at=a, stdin=SHORT)
    shared_machine.run("set", "OTHERS", at=b, stdin=OTHERS)
    return shared_machine


@pytest.fixture
def breakable(bare_machine: Machine) -> Machine:
    """A machine with one secret. Only one test uses this machine, so the test may break parts of it."""
    machine = bare_machine.use_key_file()
    machine.keep("TOKEN", VALUE, at=machine.project("a"))
    return machine
