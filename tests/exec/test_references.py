"""References in `.env` files: where they may occur, and the errors about missing secrets."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.exec_values import TOKEN, VALUES
from tests.support.machine import Machine
from tests.support.posix import skip_without

skip_without("POSIX shells and terminals")
assert sys.platform != "win32"

pytestmark = pytest.mark.usefixtures("quick_starts")


def test_references_stand_anywhere_in_the_values_of_a_file(machine: Machine, here: Path) -> None:
    (here / ".env").write_text(
        "# ours\nexport URL='postgres://u:secret://PLAIN@h/db'  # a comment\nBOTH=secret://PLAIN/secret://TOKEN\n"
        'OWN="${URL}?x"\nNOTHING=\nALONE\nKEPT=plain\n'
    )
    done = machine.run("export", "--yes", "--format", "json", at=here)
    assert json.loads(done.stdout) == {
        "URL": "postgres://u:p@h/db",
        "BOTH": f"p/{TOKEN}",
        "OWN": "postgres://u:p@h/db?x",
        "NOTHING": "",
        "KEPT": "plain",
    }
    (here / "more.env").write_text("KEPT=secret://MULTI\n")
    done = machine.run(
        "export", "--yes", "--format", "json", "--file", ".env", "--file", "more.env", "--only", "QUOTES", at=here
    )
    assert {name: json.loads(done.stdout)[name] for name in ("KEPT", "QUOTES")} == {
        "KEPT": VALUES["MULTI"],
        "QUOTES": VALUES["QUOTES"],
    }


def test_what_a_value_holds_is_no_reference(machine: Machine, here: Path) -> None:
    machine.run("set", "POINTS", stdin="secret://TOKEN")
    (here / ".env").write_text("A=secret://POINTS\n")
    assert json.loads(machine.run("export", "--yes", "--format", "json", at=here).stdout) == {"A": "secret://TOKEN"}


def test_all_that_is_missing_is_listed_at_once(machine: Machine, here: Path) -> None:
    (here / ".env").write_text("A=secret://ONE\nB=secret://TWO-secret://PLAIN\nC=secret://PLAIN\n")
    done = machine.run("export", "--yes", at=here)
    assert (done.returncode, done.stdout) == (1, "")
    assert "[NOT_FOUND]" in done.stderr
    assert "'ONE', 'TWO-secret'" in done.stderr or "'ONE', 'TWO-secret" in done.stderr
    (here / ".env").write_text("A=secret://ONE\nB=secret://TWO/secret://PLAIN\n")
    assert "'ONE', 'TWO'" in machine.run("export", "--yes", at=here).stderr
    empty = machine.run("export", "--yes", "--on-missing", "empty", "--format", "json", at=here)
    assert json.loads(empty.stdout) == {"A": "", "B": "/p"}
    kept = machine.run("export", "--yes", "--on-missing", "keep", "--format", "json", at=here)
    assert json.loads(kept.stdout) == {"A": "secret://ONE", "B": "secret://TWO/p"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("A=1\nB='open\nC=2\n", "INVALID_ARGUMENTS] Line 2"),
        ("LD_PRELOAD=/tmp/x.so\nPATH=/x\n", "INVALID_NAME] Refusing to set 'LD_PRELOAD', 'PATH'"),
        ("a.b=1\nc-d=2\n", "INVALID_NAME] 'a.b', 'c-d'"),
        ("A=secret://\n", "INVALID_NAME] A secret's name"),
        ("A=secret://" + "N" * 129 + "\n", "INVALID_NAME] A secret's name"),
        (b"A=\xff\n", "INVALID_ARGUMENTS] The .env file is not UTF-8"),
        (None, "INVALID_ARGUMENTS] There is no .env in this directory"),
    ],
)
@pytest.mark.parametrize("command", [["export"], ["exec", "--", "true"]], ids=["export", "exec"])
def test_a_file_that_cannot_be_used_is_told_before_any_value_is_fetched(
    machine: Machine, here: Path, command: list[str], text: str | bytes | None, says: str
) -> None:
    if text is not None:
        (here / ".env").write_bytes(text if isinstance(text, bytes) else text.encode())
    done = machine.run(*command, at=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: [{says}")
    if "LD_PRELOAD" in str(text):
        assert machine.run(*command[:1], "--allow-dangerous-names", *command[1:], at=here).returncode != 2
