"""Fixtures for the command line's tests."""

import pytest

from claude_secrets.model import Access
from tests.support.hook_events import KEPT, OTHERS, SHORT, VALUE
from tests.support.machine import Machine


@pytest.fixture(scope="module")
def machine_with_two_projects(shared_machine: Machine) -> Machine:
    """Two projects whose agents may use different secrets; all tests of a file share them."""
    a, b = shared_machine.project("a"), shared_machine.project("b")
    shared_machine.keep("TOKEN", VALUE, at=a)
    shared_machine.keep("KEPT", KEPT, at=a, access=Access.USE_ONLY)
    shared_machine.keep("SHORT", SHORT, at=a)
    shared_machine.keep("OTHERS", OTHERS, at=b)
    return shared_machine


@pytest.fixture
def breakable(bare_machine: Machine) -> Machine:
    """A machine with one secret. Only one test uses this machine, so the test may break parts of it."""
    machine = bare_machine.use_key_file()
    machine.keep("TOKEN", VALUE, at=machine.project("a"))
    return machine
