"""Faults of disks, files, clocks and keyrings, for every command that writes.

Each failure has its code and hint. None prints a traceback or leaves an unfinished change, and everything works again
when the cause is gone.
"""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from claude_secrets.errors import Code
from tests.support.keyrings import RealKeyring
from tests.support.machine import PROGRAM, Machine
from tests.support.posix import skip_without
from tests.support.requirements import require, require_real

skip_without("POSIX file modes, limits and mounts")
assert sys.platform != "win32"

PASSPHRASE = "correct horse battery staple"

COMMANDS: dict[str, tuple[list[str], str]] = {
    "set": (["set", "A"], "after"),
    "set new": (["set", "NEW"], "n" * 50_000),
    "delete": (["delete", "A", "--yes"], ""),
    "restore": (["restore", "A"], ""),
    "rename": (["rename", "A", "B"], ""),
    "purge": (["purge", "A", "--yes"], ""),
    "access": (["access", "A", "--use-only"], ""),
    "key add-passphrase": (["key", "add-passphrase", "--new-passphrase-fd", "0"], PASSPHRASE),
    "key add-file": (["key", "add-file", "{home}/second.key"], ""),
    "key rotate --data": (["key", "rotate", "--data", "--yes"], ""),
    "recover create": (["recover", "create"], ""),
    "backup": (["backup", "{home}/made.backup", "--backup-passphrase-fd", "0"], PASSPHRASE),
}
"""Every command that writes, with its standard input."""

ERROR = re.compile(r"error: \[([A-Z_]+)\] .+\n(hint: .+\n)+", re.DOTALL)


@pytest.fixture(name="machine")
def machine_with_two_versions(machine: Machine) -> Machine:
    """Create a store with a secret of two versions and its key in a file."""
    for value in ("before", "now"):
        machine.keep("A", value)
    return machine


def run(machine: Machine, name: str, *wrapper: str) -> "subprocess.CompletedProcess[str]":
    words, stdin = COMMANDS[name]
    return subprocess.run(
        [*wrapper, *PROGRAM, *(word.format(home=machine.home) for word in words)],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        cwd=machine.home,
        env=machine.environment,
        check=False,
    )


def code(done: "subprocess.CompletedProcess[str]") -> Code:
    """Return the error code of a command that was expected to fail."""
    assert done.returncode in (1, 2, 4), done
    lines = [line for line in done.stderr.splitlines(keepends=True) if not line.startswith("warning: ")]
    found = ERROR.fullmatch("".join(lines))
    assert found, done.stderr
    assert "Traceback" not in done.stderr
    return Code(found[1])


def state(machine: Machine) -> str:
    """Verify the store, and return everything in it except its log."""
    deep = machine.run("doctor", "--deep", "--json")
    store = [finding for finding in json.loads(deep.stdout) if finding["about"] in ("store", "damage")]
    assert [finding["state"] for finding in store] == ["ok", "ok"], deep.stdout
    parts = [machine.run("list", "--json").stdout, machine.run("history", "A", "--json").stdout]
    parts += [machine.run("get", "A").stdout, machine.run("key", "list", "--json").stdout]
    return "\n".join(parts)


def names(machine: Machine) -> set[str]:
    return {str(path.relative_to(machine.home)) for path in machine.home.rglob("*") if path.is_file()}


# Disks


@contextmanager
def small_disk(machine: Machine) -> Iterator[Path]:
    """Mount a small file system, which a test can fill, as the store's directory."""
    directory, saved = machine.store.parent, machine.store.read_bytes()
    shutil.rmtree(directory)
    directory.mkdir(mode=0o700)
    mount = [require("mount"), "-t", "tmpfs", "-o", "size=400k,mode=700", "tmpfs", str(directory)]
    require_real(subprocess.run(mount, capture_output=True, check=False).returncode == 0, "mount of a small tmpfs")
    try:
        machine.store.write_bytes(saved)
        machine.store.chmod(0o600)
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def test_a_full_disk(machine: Machine) -> None:
    with small_disk(machine) as disk:
        before, files = state(machine), names(machine)
        filler = disk / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(disk).free))
        for name in COMMANDS:
            if name == "backup":  # the backup goes to another disk
                assert "has no entry for this" in run(machine, name).stderr
                (machine.home / "made.backup").unlink()
                continue
            assert code(run(machine, name)) in {Code.STORE_FULL, Code.STORE_UNAVAILABLE}, name
        filler.unlink()
        assert state(machine) == before
        assert names(machine) - {".local/share/claude-secrets/secrets.db-wal"} <= files
        assert run(machine, "set").returncode == 0


@pytest.mark.parametrize("name", ["set new", "purge", "key rotate --data", "key add-file", "backup"])
def test_a_limit_on_the_size_of_files(machine: Machine, name: str) -> None:
    before, files = state(machine), names(machine)
    # Python ignores SIGXFSZ, so a write fails as it does on a full disk.
    limit = machine.store.stat().st_size // 1024 + 4
    done = run(machine, name, "bash", "-c", f'ulimit -f {limit}; exec "$@"', "-")
    if done.returncode == 0:  # this change fits below the limit
        assert name != "set new"
    else:
        assert code(done) in {Code.STORE_FULL, Code.STORE_UNAVAILABLE, Code.KEY_MISSING, Code.INVALID_ARGUMENTS}
        assert state(machine) == before
        assert names(machine) == files
    assert run(machine, "set").returncode == 0


def test_a_read_only_directory(machine: Machine) -> None:
    before, files = state(machine), names(machine)
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"] if os.geteuid() == 0 else []
    if bound:
        require("setpriv")
    machine.store.chmod(0o400)
    machine.store.parent.chmod(0o500)
    for name in COMMANDS:
        done = run(machine, name, *bound)
        if name == "backup":  # a backup only reads the store
            assert (done.returncode, "has no entry for this" in done.stderr) == (0, True)
            (machine.home / "made.backup").unlink()
        else:
            assert code(done) is Code.STORE_UNAVAILABLE, name
    machine.store.parent.chmod(0o700)
    machine.store.chmod(0o600)
    assert state(machine) == before
    assert names(machine) == files


def test_a_backup_to_a_full_disk(machine: Machine, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = [require("mount"), "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    require_real(subprocess.run(mount, capture_output=True, check=False).returncode == 0, "mount of a small tmpfs")
    try:
        done = machine.run("backup", str(disk / "b"), "--backup-passphrase-fd", "0", stdin=PASSPHRASE)
        assert code(done) is Code.STORE_UNAVAILABLE or code(done) is Code.STORE_FULL
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# Files


def crash(machine: Machine) -> None:
    """Leave the store as a killed process does: with changes in SQLite's log that are not in the database file yet."""
    script = (
        "import os; from claude_secrets.store.store import Store; from claude_secrets.cli.main import main; "
        "Store.close = lambda self: None; main(['set', 'A']); os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=b"in the log", env=machine.environment, cwd=machine.home, check=False
    )
    assert done.returncode == 0


def garble_page(machine: Machine) -> None:
    data = bytearray(machine.store.read_bytes())
    page = len(data) // 4096 - 1
    data[page * 4096 : page * 4096 + 4096] = os.urandom(4096)
    machine.store.write_bytes(data)


def turn_into_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


FILES: dict[str, tuple[Callable[[Machine], object], set[Code]]] = {
    "cut off": (lambda m: os.truncate(m.store, m.store.stat().st_size - 4096), {Code.STORE_TAMPERED}),
    "cut to a page": (lambda m: os.truncate(m.store, 4096), {Code.STORE_TAMPERED}),
    "cut to a byte": (lambda m: os.truncate(m.store, 1), {Code.STORE_FORMAT}),
    "empty": (lambda m: os.truncate(m.store, 0), {Code.STORE_FORMAT}),
    "text": (lambda m: m.store.write_text("notes of mine\n" * 1000), {Code.STORE_FORMAT}),
    "a directory": (lambda m: turn_into_directory(m.store), {Code.STORE_FORMAT}),
    "first page garbled": (
        lambda m: m.store.write_bytes(os.urandom(4096) + m.store.read_bytes()[4096:]),
        {Code.STORE_FORMAT},
    ),
}


@pytest.mark.parametrize("fault", FILES)
def test_a_file_that_is_no_store_any_more(machine: Machine, fault: str) -> None:
    meddle, codes = FILES[fault]
    whole = machine.store.read_bytes()
    meddle(machine)
    damaged = machine.store.read_bytes() if machine.store.is_file() else None
    for name in ("set", "delete", "key rotate --data", "backup"):
        assert code(run(machine, name)) in codes, name
    for words in (["get", "A"], ["list"], ["history", "A"], ["key", "list"], ["log", "--verify"]):
        assert code(machine.run(*words)) in codes, words
    assert machine.run("doctor", "--deep").returncode == 1
    if damaged is None:
        machine.store.rmdir()
    else:
        assert machine.store.read_bytes() == damaged
    machine.store.write_bytes(whole)
    machine.store.chmod(0o600)
    assert machine.run("get", "A").stdout == "now"


def test_a_garbled_page_is_refused_or_does_not_matter(machine: Machine) -> None:
    garble_page(machine)
    for name in ("set", "delete", "key rotate --data"):
        done = run(machine, name)
        assert done.returncode == 0 or code(done) is Code.STORE_TAMPERED
    done = machine.run("backup", str(machine.home / "b"), "--backup-passphrase-fd", "0", stdin=PASSPHRASE)
    assert "Wrote" in done.stdout


def test_a_log_that_is_deleted_takes_only_what_was_not_folded_in(machine: Machine) -> None:
    crash(machine)
    log = machine.store.with_name("secrets.db-wal")
    assert log.stat().st_size > 0
    log.unlink()
    assert machine.run("get", "A").stdout == "now"
    assert state(machine)


def test_a_log_that_is_left_by_a_killed_process_is_taken_up(machine: Machine) -> None:
    crash(machine)
    assert machine.run("get", "A").stdout == "in the log"
    assert state(machine)


def test_a_log_without_its_store_is_never_taken_for_another_stores(machine: Machine) -> None:
    crash(machine)
    saved = {path.name: path.read_bytes() for path in machine.store.parent.iterdir()}
    machine.store.unlink()
    environment = {"CLAUDE_SECRETS_KEY_FILE": str(machine.home / "new.key")}
    done = machine.run("set", "NEW", stdin="v", environment=environment)
    assert (code(done), "log" in done.stderr) == (Code.STORE_UNAVAILABLE, True)
    assert not (machine.home / "new.key").exists()
    machine.store.write_bytes(saved["secrets.db"])
    assert machine.run("get", "A").stdout == "in the log"


def test_a_stale_lock_and_a_lock_that_is_held(machine: Machine) -> None:
    holder = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE')"
    script = f"{holder}; print('held', flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(machine.store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout
    assert process.stdout.readline() == b"held\n"
    began = time.monotonic()
    assert code(run(machine, "set")) is Code.STORE_BUSY
    assert time.monotonic() - began < 30
    process.kill()
    process.communicate()
    assert run(machine, "set").returncode == 0
    assert machine.run("get", "A").stdout == "after"


@pytest.mark.parametrize("gone", ["the file", "the directory"])
def test_a_store_that_is_gone_while_a_server_runs(machine: Machine, gone: str) -> None:
    project = machine.project("api")
    with machine.server(project) as server:
        server.text("set_secret", name="T", value="v")
        saved = machine.store.parent.with_name("saved")
        shutil.copytree(machine.store.parent, saved)
        shutil.rmtree(machine.store.parent) if gone == "the directory" else machine.store.unlink()
        assert server.code("get_secret", name="T") == "STORE_UNAVAILABLE"
        assert server.code("set_secret", name="T", value="w") == "STORE_UNAVAILABLE"  # no second store is made
        if gone == "the directory":
            shutil.rmtree(machine.store.parent, ignore_errors=True)
            saved.rename(machine.store.parent)
            assert server.text("get_secret", name="T") == "v"


def test_another_store_in_its_place_does_not_open_with_the_key(machine: Machine, tmp_path: Path) -> None:
    other = Machine(tmp_path / "other").use_key_file()
    other.run("set", "A", stdin="of somebody else")
    project = machine.project("api")
    with machine.server(project) as server:
        server.text("set_secret", name="T", value="v")
        whole = machine.store.with_name("whole")
        with closing(sqlite3.connect(machine.store)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        machine.store.rename(whole)
        shutil.copyfile(other.store, machine.store)
        machine.store.chmod(0o600)
        other.key_file.unlink()
        assert server.code("get_secret", name="T") in {"KEY_MISSING", "KEY_WRONG", "STORE_TAMPERED"}
        assert server.code("set_secret", name="T", value="w") in {"KEY_MISSING", "KEY_WRONG", "STORE_TAMPERED"}
        for suffix in ("", "-wal", "-shm"):
            machine.store.with_name(f"secrets.db{suffix}").unlink(missing_ok=True)
        whole.rename(machine.store)
        assert server.text("get_secret", name="T") == "v"
    assert machine.run("get", "A").stdout == "now"


def test_an_older_version_of_a_part_of_it_is_found(machine: Machine) -> None:
    older = machine.store.read_bytes()
    machine.run("set", "A", stdin="newest")
    crash(machine)
    machine.store.write_bytes(older)  # the log still belongs to the newer file
    done = machine.run("get", "A")
    assert done.stdout in {"", "in the log", "newest", "now"}
    assert done.stdout == "" or done.stderr == "" or "warning" in done.stderr
    server = machine.run("doctor", "--deep")
    assert "Traceback" not in server.stderr


# Clocks


def test_a_clock_that_goes_backwards(machine: Machine) -> None:
    clock = require("faketime")
    project = machine.project("api")
    for when in ("2020-01-01", "2040-01-01", "1971-01-01"):
        done = run(machine, "set", clock, when)
        assert done.returncode == 0, done.stderr
        assert (
            subprocess.run(
                [clock, when, *PROGRAM, "set", "A", "--yes"],
                input=f"at {when}",
                encoding="utf-8",
                env=machine.environment,
                cwd=project,
                check=False,
                capture_output=True,
            ).returncode
            == 0
        )
        assert machine.run("get", "A").stdout == f"at {when}"
    assert len(json.loads(machine.run("history", "A", "--json").stdout)) == 8
    assert machine.run("doctor", "--deep").returncode == 0
    assert machine.run("log", "--verify").returncode == 0


# Keyrings


@pytest.fixture
def with_keyring(tmp_path: Path, keyring_session: RealKeyring) -> Machine:
    """Create a store with its key in a real keyring that the environment leads to."""
    machine = Machine(tmp_path)
    machine.environment |= keyring_session.environment
    for value in ("before", "now"):
        machine.keep("A", value)
    return machine


def test_a_keyring_entry_that_is_deleted_in_mid_session(with_keyring: Machine, keyring_session: RealKeyring) -> None:
    machine, project = with_keyring, with_keyring.project("api")
    with machine.server(project) as server:
        server.text("set_secret", name="T", value="v")
        ((entry, key),) = keyring_session.entries().items()
        keyring_session.remove(entry)
        assert server.text("get_secret", name="T") == "v"  # the server has the key in memory
        server.text("set_secret", name="T", value="w")
    for name in COMMANDS:
        assert code(run(machine, name)) is Code.KEY_MISSING, name
    with machine.server(project) as server:
        assert server.code("get_secret", name="T") == "KEY_MISSING"
        assert server.code("set_secret", name="T", value="x") == "KEY_MISSING"
    assert keyring_session.entries() == {}  # never a new key while a store exists
    keyring_session.put(entry, key)
    assert machine.run("get", "T", at=project).stdout == "w"
    assert state(machine)


def test_a_keyring_that_is_locked_in_mid_session(with_keyring: Machine, keyring_session: RealKeyring) -> None:
    machine, project = with_keyring, with_keyring.project("api")
    with machine.server(project) as server:
        server.text("set_secret", name="T", value="v")
        keyring_session.lock()
        assert server.text("get_secret", name="T") == "v"
        server.text("set_secret", name="T", value="w")
        for name in ("set", "delete", "key add-file", "key rotate --data", "backup"):
            assert code(run(machine, name)) is Code.KEYRING_LOCKED, name
        assert code(machine.run("key", "rotate")) is Code.KEYRING_LOCKED
        assert server.text("get_secret", name="T") == "w"
    assert not (machine.home / "second.key").exists()
    with machine.server(project) as server:
        assert server.code("get_secret", name="T") == "KEYRING_LOCKED"


def test_a_keyring_that_is_wiped_is_made_up_for_by_code_passphrase_and_backup(
    with_keyring: Machine, keyring_session: RealKeyring
) -> None:
    machine = with_keyring
    recovery = machine.run("recover", "create").stdout.strip()
    assert run(machine, "key add-passphrase").returncode == 0
    assert run(machine, "backup").returncode == 0
    before = machine.run("history", "A", "--json").stdout

    def wipe() -> None:
        for entry in keyring_session.entries():
            keyring_session.remove(entry)

    wipe()
    done = machine.run("get", "A")
    assert (code(done), "recover use" in done.stderr) == (Code.KEY_MISSING, True)
    assert machine.run("--passphrase-fd", "0", "get", "A", stdin=PASSPHRASE).stdout == "now"
    used = machine.run("recover", "use", stdin=recovery)
    assert used.returncode == 0, used.stderr
    assert machine.run("get", "A").stdout == "now"
    assert machine.run("history", "A", "--json").stdout == before
    wipe()
    backup = str(machine.home / "made.backup")
    done = machine.run("backup", "restore", backup, "--aside", "--yes", "--backup-passphrase-fd", "0", stdin=PASSPHRASE)
    assert done.returncode == 0, done.stderr
    assert machine.run("get", "A").stdout == "now"
    assert machine.run("history", "A", "--json").stdout == before
    assert len(keyring_session.entries()) == 1


# Servers that keep running


def test_servers_with_the_key_in_memory_go_on_while_the_data_key_is_replaced(machine: Machine) -> None:
    machine.write_limit(100_000)
    project = machine.project("api")
    with machine.server(project) as one, machine.server(project) as two:
        for number in range(60):
            one.text("set_secret", name=f"F{number}", value="x" * 2000)
        written: list[str] = []
        for turn in range(3):
            rotating = subprocess.Popen(
                [*PROGRAM, "key", "rotate", "--data", "--yes"],
                cwd=machine.home,
                env=machine.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            while rotating.poll() is None:
                for server in (one, two):
                    written.append(f"T{turn}_{len(written)}")
                    server.text("set_secret", name=written[-1], value=written[-1])
                    assert server.text("get_secret", name=written[0]) == written[0]
            said, failed = rotating.communicate()
            assert rotating.returncode == 0, failed
            assert b"new data key" in said
        for server in (one, two):
            assert [server.text("get_secret", name=name) for name in written] == written
    assert json.loads(machine.run("key", "list", "--json").stdout)[0]["fails"] is None
    assert machine.run("doctor", "--deep").returncode == 0
    assert machine.run("log", "--verify").returncode == 0
