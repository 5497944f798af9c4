"""Two servers that see one store through different directories, as Claude Desktop for Windows makes its servers see it.

A packaged program (MSIX) shares the files in AppData that existed before, and keeps new files for itself. The stand-in
on POSIX is a store with a hard link in a second directory: the store's file is shared, and each side has its own log.
"""

import sys
from pathlib import Path

import pytest

from tests.support.machine import Machine, Wire

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows virtualizes AppData itself")


@pytest.fixture
def private(machine: Machine, tmp_path: Path) -> Path:
    """The store's second name, in the directory that stands for the package's own."""
    machine.run("set", "A", stdin="one", at=machine.project("api"))
    private = tmp_path / "private" / "secrets.db"
    private.parent.mkdir()
    private.hardlink_to(machine.store)
    return private


def codes(wire: Wire) -> list[str]:
    return [wire.code("get_secret", name="A"), wire.code("set_secret", name="A", value="two")]


def test_neither_side_acknowledges_a_value_that_the_other_does_not_see(machine: Machine, private: Path) -> None:
    project = machine.project("api")
    with machine.server(project, "--store", str(private)) as desktop, machine.server(project) as terminal:
        assert codes(desktop) == codes(terminal) == ["STORE_UNAVAILABLE"] * 2
        refused = machine.run("set", "A", stdin="three", at=project)
        assert refused.stderr.startswith("error: [STORE_UNAVAILABLE] The store's file has a second name (a hard link)")
        found = machine.run("doctor")
        assert (found.returncode, "second name" in found.stdout) == (1, True)
        private.unlink()
        assert terminal.text("get_secret", name="A") == "one"
        assert terminal.text("set_secret", name="A", value="two") == "Stored 'A' (version 2)."
    assert machine.run("get", "A", at=project).stdout == "two"
