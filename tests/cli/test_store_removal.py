"""The person is asked twice before the store is removed, and any other answer changes nothing."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_secrets.errors import Code
from claude_secrets.store.creation import draft_of
from tests.support.keyrings import RealKeyring, real_keyring, wait_until
from tests.support.machine import DEADLINE, Machine
from tests.support.posix import skip_without
from tests.support.terminals import Running

skip_without("POSIX terminals")
assert sys.platform != "win32"

REMOVING = [sys.executable, "-P", "-m", "tests.support.store_removing"]
"""The program with the stand-in for the command that removes the store."""

WORDS = "correct horse battery staple"
FIRST = r"This cannot be undone\. To make a backup first: .* backup FILE\. \[y/N\] "
NUMBER = "type the number of its secrets: "
WORD = "type the word `remove`: "


@pytest.fixture(name="machine")
def machine_with_secrets(machine: Machine) -> Machine:
    """A machine with two secrets in three versions, a project, and files of the person."""
    machine.environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    api = machine.project("api")
    for value in ("canary-one", "canary-two"):
        machine.keep("T", value, at=api)
    machine.keep("U", "canary-three")
    (machine.own_files / "policy.yml").write_text('version: "1"\ndefault: allow\n')
    return machine


def files(machine: Machine) -> dict[str, bytes]:
    found = {str(path): path.read_bytes() for path in sorted(machine.home.rglob("*")) if path.is_file()}
    return {path: data for path, data in found.items() if not path.endswith("-shm") and (data or "-wal" not in path)}


def at_terminal(machine: Machine, *words: str, at: Path | None = None) -> Running:
    return Running([*REMOVING, *words, "delete", "X"], at or machine.home, machine.environment)


def script(
    machine: Machine, *words: str, stdin: str | None = None, store: str | None = None, at: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the removal without a terminal."""
    return subprocess.run(
        [*REMOVING, *(["--store", store] if store else []), "delete", "X", *words],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE,
        cwd=at or machine.home,
        env=machine.environment,
        start_new_session=True,
        check=False,
    )


# At a terminal


def test_both_answers_remove_the_store_and_nothing_else(machine: Machine) -> None:
    before = files(machine)
    with at_terminal(machine) as running:
        shown = running.see(FIRST)
        running.type("y\n")
        shown += running.see(NUMBER)
        running.type("2\n")
        assert running.ended() == 0
        shown += running.shown
    assert f"This removes the store {machine.store} (last changed 20" in shown
    assert (
        "Permanently remove the store ~/.local/share/claude-secrets/secrets.db, with 2 secrets and 3 versions" in shown
    )
    assert f"Removed {machine.store}." in shown
    assert "no log records this removal" in shown
    assert f"rm {machine.key_file}" in shown
    assert "allowlists, config.yml and policy.yml were not changed" in shown
    assert "canary" not in shown
    gone = {path for path in before if path not in files(machine)}
    assert gone == {str(machine.store)}
    assert {path: data for path, data in before.items() if path not in gone} == files(machine)
    assert machine.run("list").stdout == ""
    assert not machine.store.exists()


FIRST_ANSWERS = {"a no": "n\n", "nothing": "\n", "the number": "2\n", "another word": "remove\n"}
SECOND_ANSWERS = {"another number": "3\n", "nothing": "\n", "yes": "y\n", "the word": "remove\n", "two": "2 2\n"}


@pytest.mark.parametrize("answer", FIRST_ANSWERS.values(), ids=FIRST_ANSWERS)
def test_another_first_answer_changes_nothing(machine: Machine, answer: str) -> None:
    before = files(machine)
    with at_terminal(machine) as running:
        running.see(FIRST)
        running.type(answer)
        assert running.ended() == 1
        assert running.shown.splitlines()[-1] == "Nothing was changed."
    assert files(machine) == before


@pytest.mark.parametrize("answer", SECOND_ANSWERS.values(), ids=SECOND_ANSWERS)
def test_another_second_answer_changes_nothing(machine: Machine, answer: str) -> None:
    before = files(machine)
    with at_terminal(machine) as running:
        running.see(FIRST)
        running.type("yes\n")
        running.see(NUMBER)
        running.type(answer)
        assert running.ended() == 1
        assert running.shown.splitlines()[-1] == "Nothing was changed."
    assert files(machine) == before


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
@pytest.mark.parametrize("second", [False, True], ids=["first", "second"])
def test_a_question_that_is_cancelled_changes_nothing(machine: Machine, key: str, second: bool) -> None:
    before = files(machine)
    with at_terminal(machine) as running:
        running.see(FIRST)
        if second:
            running.type("y\n")
            running.see(NUMBER)
        running.type(key)
        assert running.ended() == 130
        assert running.shown.splitlines()[-1] == "Cancelled; nothing was changed."
        assert running.settings() == running.before
    assert files(machine) == before


def test_a_pasted_answer_to_both_questions_is_refused(machine: Machine) -> None:
    before = files(machine)
    with at_terminal(machine) as running:
        running.see(FIRST)
        running.type("y\n2\n")
        assert running.ended() == 2
    assert files(machine) == before


def test_yes_answers_only_the_first_question_at_a_terminal(machine: Machine) -> None:
    with Running([*REMOVING, "delete", "X", "--yes"], machine.home, machine.environment) as running:
        assert "[y/N]" not in running.see(NUMBER)
        running.type("2\n")
        assert running.ended() == 0
    assert not machine.store.exists()


def test_a_store_that_no_key_opens_needs_the_word(machine: Machine) -> None:
    machine.key_file.unlink()
    with at_terminal(machine) as running:
        shown = running.see(FIRST)
        assert "with all its secrets, although it was not opened" in shown
        assert "their number is unknown: The key file of this store is missing or cannot be read." in shown
        running.type("y\n")
        running.see(WORD)
        running.type("remove\n")
        assert running.ended() == 0
    assert not machine.store.exists()


@pytest.mark.parametrize(
    ("typed", "answer"), [(WORDS, NUMBER), ("another one entirely", WORD), ("", WORD)], ids=["right", "wrong", "none"]
)
def test_a_store_with_a_passphrase_can_be_removed_without_the_passphrase(
    machine: Machine, typed: str, answer: str
) -> None:
    done = machine.run("key", "add-passphrase", "--new-passphrase-fd", "0", stdin=WORDS)
    assert done.returncode == 0, done.stderr
    machine.key_file.unlink()
    with at_terminal(machine) as running:
        running.see(r"Passphrase of the store \(not shown\): ")
        running.type(f"{typed}\n")
        running.see(FIRST)
        running.type("y\n")
        running.see(answer)
        running.type("2\n" if answer == NUMBER else "remove\n")
        assert running.ended() == 0
        assert "Passphrase" not in running.shown
    assert not machine.store.exists()


def test_the_number_of_copies_is_in_the_first_question(machine: Machine) -> None:
    for stamp in ("20260101-000000", "20260101-000001"):
        machine.store.with_name(f"{machine.store.name}.aside-{stamp}").write_bytes(machine.store.read_bytes())
    machine.store.with_name(f"{machine.store.name}.aside-20260101-000002").write_text("not a store")
    with at_terminal(machine) as running:
        shown = running.see(FIRST)
        assert shown.splitlines()[-1].startswith("Permanently remove the store")
        assert "and 2 old copies?" in shown.splitlines()[-1]
        assert "cannot be opened" in shown
        running.type("y\n")
        running.see(NUMBER)
        running.type("2\n")
        assert running.ended() == 0
    assert [path.name for path in machine.store.parent.iterdir()] == [f"{machine.store.name}.aside-20260101-000002"]


# In scripts


def test_without_a_terminal_nothing_is_changed_and_the_hint_says_what_a_script_does(machine: Machine) -> None:
    before = files(machine)
    done = script(machine, stdin="y\n2\n")
    assert (done.returncode, done.stderr.split()[1]) == (2, f"[{Code.INVALID_ARGUMENTS}]")
    assert "add --yes for the first answer, and pass the number of secrets on standard input" in done.stderr
    assert files(machine) == before


@pytest.mark.parametrize("stdin", [None, "", "y\n", "3\n", "remove\n", "y\n2\n"])
def test_yes_alone_removes_nothing(machine: Machine, stdin: str | None) -> None:
    before = files(machine)
    assert script(machine, "--yes", stdin=stdin).returncode in (1, 2)
    assert files(machine) == before


def test_a_script_that_the_configuration_does_not_allow_removes_nothing(machine: Machine) -> None:
    machine.configure()
    before = files(machine)
    done = script(machine, "--yes", stdin="2\n")
    assert (done.returncode, done.stderr.split()[1]) == (3, f"[{Code.PERSON_ONLY}]")
    assert files(machine) == before


def test_a_script_with_the_number_removes_the_store_once(machine: Machine) -> None:
    done = script(machine, "--yes", stdin="2\n")
    assert (done.returncode, f"Removed {machine.store}." in done.stdout) == (0, True)
    again = script(machine, "--yes", stdin="2\n")
    assert (again.returncode, again.stdout) == (0, f"There is no store at {machine.store}.\n")


# Other places


def test_a_custom_store_is_removed_and_the_usual_one_stays(machine: Machine) -> None:
    custom = machine.home / "custom" / "my.db"
    key = str(machine.home / "custom.key")
    assert machine.run("--store", str(custom), "init", "--key-file", key, at=machine.project("api")).returncode == 0
    done = script(machine, "--yes", stdin="0\n", store=str(custom))
    assert (done.returncode, custom.exists(), machine.store.exists()) == (0, False, True)
    assert machine.run("get", "U").stdout == "canary-three"


def test_a_store_inside_a_project_is_refused(machine: Machine) -> None:
    api = machine.project("api")
    planted = api / "secrets.db"
    planted.write_bytes(machine.store.read_bytes())
    done = script(machine, "--yes", stdin="2\n", store=str(planted), at=api)
    assert (done.returncode, done.stderr.split()[1]) == (1, f"[{Code.STORE_UNAVAILABLE}]")
    assert planted.exists()


def test_a_file_that_is_no_store_is_refused(machine: Machine) -> None:
    own = machine.home / "thesis.txt"
    own.write_text("the person's own file")
    done = script(machine, "--yes", stdin="remove\n", store=str(own))
    assert (done.returncode, done.stderr.split()[1]) == (1, f"[{Code.STORE_FORMAT}]")
    assert own.exists()


def test_a_missing_file_is_said_to_be_missing(machine: Machine) -> None:
    log = machine.store.with_name(f"{machine.store.name}-wal")
    machine.store.unlink()
    log.write_bytes(b"the last changes")
    with at_terminal(machine) as running:
        shown = running.see(r"what is left of the store .*, whose file is missing\? This cannot be undone\. \[y/N\] ")
        assert "is missing (perhaps its disk is not connected)" in shown
        running.type("y\n")
        running.see(WORD)
        running.type("remove\n")
        assert running.ended() == 0
    assert not log.exists()


# A running server, and a real keyring


def test_a_running_server_gets_a_code_and_makes_no_new_store(machine: Machine) -> None:
    with machine.server(machine.project("api")) as wire:
        assert wire.text("get_secret", name="T") == "canary-two"
        assert script(machine, "--yes", stdin="2\n").returncode == 0
        for tool, arguments in (("get_secret", {"name": "T"}), ("set_secret", {"name": "NEW", "value": "v"})):
            answer = wire.request("tools/call", {"name": tool, "arguments": arguments})["result"]
            assert answer["isError"] is True
            assert answer["content"][0]["text"].startswith(f"[{Code.STORE_UNAVAILABLE}]")
        assert [*machine.store.parent.iterdir()] == []
    assert [*machine.store.parent.iterdir()] == []


@pytest.fixture
def ring_machine(tmp_path: Path) -> Iterator[tuple[Machine, RealKeyring]]:
    """A machine with a store whose key is in a real keyring."""
    with real_keyring() as keyring:
        machine = Machine(tmp_path)
        machine.environment |= {**keyring.environment, "PYTHONPATH": str(Path(__file__).parents[2])}
        machine.project("api")
        assert machine.run("set", "T", stdin="value").returncode == 0
        yield machine, keyring


def test_the_keyring_entry_is_shown_and_removed(ring_machine: tuple[Machine, RealKeyring]) -> None:
    machine, keyring = ring_machine
    (name,) = keyring.entries()
    done = script(machine, "--yes", stdin="1\n")
    assert f"- its key in the system's keyring (claude-secrets, {name})" in done.stderr
    assert f"Removed the keyring entry {name} of claude-secrets." in done.stdout
    assert (done.returncode, keyring.entries(), machine.store.exists()) == (0, {}, False)


def test_ctrl_c_while_the_keyring_waits_is_reported_and_the_next_run_finishes(
    ring_machine: tuple[Machine, RealKeyring],
) -> None:
    machine, keyring = ring_machine
    machine.environment["DISPLAY"] = ":0"  # waits longer with a display
    with at_terminal(machine) as running:
        running.see(FIRST)
        running.type("y\n")
        running.see(NUMBER)
        keyring.freeze()
        try:
            running.type("1\n")
            wait_until(draft_of(machine.store).exists, "the removal has begun")
            running.type("\x03")
            assert running.ended() == 130
        finally:
            keyring.thaw()
        assert "may be incomplete; to finish it, run the same command again" in running.shown
    assert machine.store.exists()
    assert len(keyring.entries()) in (0, 1)
    number = "1\n" if keyring.entries() else "remove\n"
    assert script(machine, "--yes", stdin=number).returncode == 0
    assert (keyring.entries(), machine.store.exists()) == ({}, False)


def test_a_locked_keyring_refuses_before_a_question(ring_machine: tuple[Machine, RealKeyring]) -> None:
    machine, keyring = ring_machine
    keyring.lock()
    done = script(machine, "--yes", stdin="remove\n")
    assert (done.returncode, done.stderr.split()[1]) == (4, f"[{Code.KEYRING_LOCKED}]")
    assert machine.store.exists()
