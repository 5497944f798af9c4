"""`backup` makes, verifies and restores backups, and never loses an existing store."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.machine import PROGRAM, Machine
from tests.support.terminals import on_a_terminal

pytestmark = pytest.mark.usefixtures("quick_starts")

PASSPHRASE = "correct horse battery staple"


def with_passphrase(
    machine: Machine, *arguments: str, passphrase: str = PASSPHRASE
) -> "subprocess.CompletedProcess[str]":
    """Run a `backup` command that reads its passphrase from standard input."""
    return machine.run("backup", *arguments, "--backup-passphrase-fd", "0", stdin=passphrase)


def test_a_backup_is_made_verified_and_restored(machine: Machine, tmp_path: Path) -> None:
    for value in ("canary-one", "canary-two"):
        machine.run("set", "T", stdin=value)
    file = str(tmp_path / "b")
    done = with_passphrase(machine, file)
    assert (done.returncode, done.stdout) == (
        0,
        f"Wrote {file}: 1 secret, 2 versions. The backup does not contain grants or the log.\n",
    )
    assert done.stderr.startswith("hint: keep the passphrase: nothing else opens the backup; to verify it: ")
    assert done.stderr.endswith(f" backup --verify {file}\n")
    assert with_passphrase(machine, file).returncode == 2
    assert with_passphrase(machine, "--verify", file).stdout == (
        "The backup is intact: every record opens (1 secret, 2 versions).\n"
    )
    wrong = with_passphrase(machine, "--verify", file, passphrase="another one entirely")
    assert (wrong.returncode, wrong.stderr.split()[1]) == (4, "[KEY_WRONG]")
    assert with_passphrase(machine, "restore", file).returncode == 2
    machine.run("set", "T", stdin="canary-three")
    other = Machine(tmp_path / "other")
    key_file = {"CLAUDE_SECRETS_KEY_FILE": str(other.home / "k")}
    restored = other.run(
        "backup", "restore", file, "--backup-passphrase-fd", "0", stdin=PASSPHRASE, environment=key_file
    )
    assert restored.stdout == f"Restored 1 secret, 2 versions into {other.store}.\n"
    assert other.run("get", "T", environment=key_file).stdout == "canary-two"
    aside = ["restore", file, "--aside", "--key-file", str(tmp_path / "new.key")]
    assert with_passphrase(machine, *aside).returncode == 2  # nobody can be asked
    printed = done.stdout + done.stderr + wrong.stderr + restored.stdout + restored.stderr
    assert not any(word in printed for word in ("canary", PASSPHRASE, "another one"))
    for words in (["restore"], ["a", "b"], ["restore", file, "--verify"], ["verify", file]):
        assert with_passphrase(machine, *words).returncode == 2, words


def test_a_store_that_is_set_aside_is_put_back_where_no_other_can_be_made(machine: Machine, tmp_path: Path) -> None:
    machine.run("set", "T", stdin="v")
    file = str(tmp_path / "b")
    with_passphrase(machine, file)
    before = sorted(path.name for path in machine.store.parent.iterdir())
    done = with_passphrase(machine, "restore", file, "--aside", "--yes")
    assert (done.returncode, done.stderr.split()[1]) == (4, "[KEYRING_UNAVAILABLE]")
    assert sorted(path.name for path in machine.store.parent.iterdir()) == before
    assert machine.run("get", "T").stdout == "v"
    key = str(machine.home / "another.key")
    done = with_passphrase(machine, "restore", file, "--aside", "--yes", "--key-file", key)
    assert (done.returncode, "The old store is now" in done.stdout) == (0, True)
    machine.key_file.unlink()
    assert machine.run("get", "T").stdout == "v"


def test_restoring_says_how_to_go_on_before_it_asks_for_the_passphrase(machine: Machine, tmp_path: Path) -> None:
    machine.run("set", "T", stdin="v")
    file = str(tmp_path / "b")
    with_passphrase(machine, file)
    done = with_passphrase(machine, "restore", file, passphrase="")
    assert (done.returncode, "The store already holds secrets" in done.stderr) == (2, True)
    done = with_passphrase(machine, "restore", file, "--aside", passphrase="")
    assert (done.returncode, "add --key-file NEW_PATH to this command." in done.stderr) == (4, True)
    bare = Machine(tmp_path / "bare")
    done = with_passphrase(bare, "restore", file, passphrase="")
    assert (done.returncode, "add --key-file NEW_PATH to this command." in done.stderr) == (4, True)
    machine.key_file.unlink()
    done = with_passphrase(machine, "restore", file, passphrase="")
    assert (done.returncode, "Add --aside --key-file NEW_PATH to this command." in done.stderr) == (4, True)
    done = with_passphrase(machine, "restore", file, "--aside", "--key-file", str(tmp_path / "new.key"), "--yes")
    assert done.returncode == 0, done.stderr
    assert machine.run("get", "T").stdout == "v"


@pytest.mark.parametrize("content", [b"notes of mine", b"", b"SQLite format 3\0" + bytes(100), None])
@pytest.mark.parametrize("words", [["--verify"], ["restore"]])
def test_a_file_that_is_no_backup_is_refused_before_the_passphrase(
    machine: Machine, tmp_path: Path, words: list[str], content: bytes | None
) -> None:
    file = tmp_path / "b"
    if content is None:
        machine.run("set", "T", stdin="v")
        content = machine.store.read_bytes()
    file.write_bytes(content)
    done = with_passphrase(machine, *words, str(file), passphrase="")
    assert (done.returncode, done.stderr.split()[1]) == (1, "[STORE_FORMAT]")
    assert (done.stderr.splitlines()[0].count("not a backup"), "store's" in done.stderr) == (1, False)


@pytest.mark.parametrize("line", ["backup new.backup", "key list", "recover create", "recover use", "scan ."])
def test_a_command_without_a_store_says_how_to_get_one(tmp_path: Path, line: str) -> None:
    machine = Machine(tmp_path)
    done = machine.run(*line.split(), stdin="")
    error, hint = done.stderr.splitlines()
    assert (done.returncode, error) == (1, f"error: [STORE_UNAVAILABLE] There is no store at {machine.store}.")
    for way in ("--store PATH", " backup restore FILE`", " set NAME`"):
        assert way in hint


@pytest.mark.parametrize("when", range(4))
def test_a_restore_that_is_killed_leaves_the_store_that_was_there(machine: Machine, tmp_path: Path, when: int) -> None:
    (machine.home / "twenty.env").write_text("".join(f"T{number}=v\n" for number in range(20)))
    assert machine.run("import", "twenty.env", "--yes").returncode == 0
    file = str(tmp_path / "b")
    with_passphrase(machine, file)
    key = str(machine.home / "another.key")
    words = ["backup", "restore", file, "--aside", "--yes", "--key-file", key, "--backup-passphrase-fd", "0"]
    with subprocess.Popen(
        [*PROGRAM, *words], stdin=subprocess.PIPE, env=machine.environment, cwd=machine.home
    ) as process:
        assert process.stdin is not None
        process.stdin.write(PASSPHRASE.encode() + b"\n")
        process.stdin.close()
        ends = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < ends and len(list(machine.store.parent.iterdir())) < 2:
            time.sleep(0.002)
        time.sleep(0.01 * when)
        process.kill()
    listed = json.loads(machine.run("list", "--json").stdout)
    assert len(listed) == 20


def test_a_file_beside_the_store_is_never_taken_for_a_left_over(machine: Machine, tmp_path: Path) -> None:
    machine.run("set", "T", stdin="v")
    file = Path(f"{machine.store}.new")
    with_passphrase(machine, str(file))
    data = file.read_bytes()
    machine.run("set", "T", stdin="w")
    machine.run("--store", str(tmp_path / "x.db"), "init", "--key-file", str(machine.home / "x.key"))
    (tmp_path / "y.db.new").write_bytes(b"mine")
    machine.run("--store", str(tmp_path / "y.db"), "init", "--key-file", str(machine.home / "y.key"))
    assert (file.read_bytes(), (tmp_path / "y.db.new").read_bytes()) == (data, b"mine")
    reserved = str(machine.store.parent / ".x.claude-secrets-draft")
    assert with_passphrase(machine, reserved).stderr.split()[1] == "[STORE_UNAVAILABLE]"


def test_a_new_passphrase_is_typed_twice(machine: Machine, tmp_path: Path) -> None:
    machine.run("set", "T", stdin="v")
    file = str(tmp_path / "b")
    words = ["backup", file]
    new, again = "New passphrase of the backup", "New passphrase of the backup, again"
    differ = [(new, "correct horse battery\n"), (again, "correct horse bettery\n")]
    assert on_a_terminal(machine, words, machine.home, differ)[0] == 2
    assert not Path(file).exists()
    alike = [(new, f"{PASSPHRASE}\n"), (again, f"{PASSPHRASE}\n")]
    code, screen = on_a_terminal(machine, words, machine.home, alike)
    assert (code, "Wrote" in screen, PASSPHRASE in screen) == (0, True, False)
    asked = [("Passphrase of the backup", f"{PASSPHRASE}\n")]
    assert on_a_terminal(machine, ["backup", "--verify", file], machine.home, asked)[0] == 0
