"""Store copies left by upgrades and restores are listed, and removed only if they are proven to be copies."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from claude_secrets.errors import StoreError
from claude_secrets.person import old_copies
from tests.person.test_rotation import at_a_terminal
from tests.support.keyrings import RealKeyring
from tests.support.machine import Machine
from tests.support.posix import give_away, is_root

PASSPHRASE = "five parrots juggle quartz lemons"


@pytest.fixture(name="machine")
def machine_with_old_secret(machine: Machine) -> Machine:
    machine.keep("OLD", "of before")
    return machine


def set_aside(machine: Machine, *key: str) -> Path:
    """Replace the store with a backup of it. Return the old store's new path."""
    backup = str(machine.home / "b")
    given = ["--backup-passphrase-fd", "0"]
    Path(backup).unlink(missing_ok=True)
    assert machine.run("backup", backup, *given, stdin=PASSPHRASE).returncode == 0
    done = machine.run("backup", "restore", backup, "--aside", "--yes", *key, *given, stdin=PASSPHRASE)
    assert done.returncode == 0, done.stderr
    found = re.search(r"The old store is now (.*)\.", done.stdout)
    assert found is not None
    return Path(found[1])


def told(machine: Machine) -> list[str]:
    found = json.loads(machine.run("doctor", "--json").stdout)
    return [f"{each['message']} {each['hint']}" for each in found if each["about"] == "copy"]


@pytest.mark.parametrize("words", [["purge", "OLD"], ["purge", "--deleted"], ["key", "rotate", "--data"]], ids=" ".join)
def test_copies_are_named_and_removed_with_their_logs_and_their_key_file_is_named(
    machine: Machine, words: list[str]
) -> None:
    aside = set_aside(machine, "--key-file", str(machine.home / "new.key"))
    upgraded = machine.store.with_name("secrets.db.format-1")
    left = machine.store.with_name("secrets.db.restored-20260101-000000")  # left by a killed restore
    for copy in (upgraded, left):
        shutil.copy(machine.store, copy)
    logs = [aside.with_name(f"{aside.name}{suffix}") for suffix in ("-wal", "-shm")]
    for log in logs:
        log.touch()
    for copy in (aside, upgraded, left):
        (line,) = [line for line in told(machine) if str(copy) in line]
        assert ("0 days ago" in line, "purge --deleted" in line) == (True, True)
    done = machine.run(*words, "--yes")
    assert done.returncode == 0, done.stderr
    assert all(f"Removed {copy}." in done.stdout for copy in (aside, upgraded, left))
    assert f"rm {machine.key_file}" in done.stderr
    assert [path for path in (aside, upgraded, left, *logs) if path.exists()] == []
    assert machine.key_file.exists()
    assert told(machine) == []
    assert machine.run("doctor").returncode == 0
    assert (machine.home / "new.key").exists()


def test_another_copy_of_a_removed_one_opens_still(machine: Machine) -> None:
    aside = set_aside(machine, "--key-file", str(machine.home / "new.key"))
    elsewhere = machine.home / "elsewhere.db"
    shutil.copy(aside, elsewhere)
    assert machine.run("purge", "--deleted", "--yes").returncode == 0
    assert not aside.exists()
    assert machine.run("--store", str(elsewhere), "get", "OLD").stdout == "of before"


def test_the_keyring_keeps_the_entry_of_a_copy(tmp_path: Path, keyring_session: RealKeyring) -> None:
    machine = Machine(tmp_path)
    machine.environment |= keyring_session.environment
    machine.run("set", "OLD", stdin="of before")
    before = {*keyring_session.entries()}
    aside = set_aside(machine)
    assert machine.run("purge", "--deleted", "--yes").returncode == 0
    assert (aside.exists(), before < {*keyring_session.entries()}) == (False, True)


def test_a_key_file_that_the_store_uses_too_stays(machine: Machine) -> None:
    machine.environment["CLAUDE_SECRETS_KEY_FILE"] = str(machine.key_file)
    aside = set_aside(machine)
    done = machine.run("purge", "--deleted", "--yes")
    assert (aside.exists(), machine.key_file.exists(), "key file" in done.stderr) == (False, True, False)
    assert machine.run("get", "OLD").stdout == "of before"


NAMES = [
    "secrets.db.aside",
    "secrets.db.aside-mine",
    "secrets.db.aside-20260101-000000.txt",
    "secrets.db.format-x",
    "secrets.db.format-\u0661",
    "secrets.db.bak",
    "secrets.db.aside-20260101-0000000",
    "xsecrets.db.format-1",
    "other.db.format-1",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_store_with_another_name_is_no_copy(machine: Machine, name: str) -> None:
    path = machine.store.with_name(name)
    shutil.copy(machine.store, path)
    assert told(machine) == []
    machine.run("purge", "--deleted", "--yes")
    assert path.exists()


def test_what_does_not_open_as_a_store_is_told_and_never_removed(machine: Machine) -> None:
    directory = machine.store.parent
    notes, empty = directory / "secrets.db.format-1", directory / "secrets.db.aside-20260101-000000"
    notes.write_text("notes of mine\n" * 1000)
    empty.touch()
    done = machine.run("purge", "--deleted", "--yes")
    assert [str(path) in done.stderr for path in (notes, empty)] == [True, True]
    assert [path.exists() for path in (notes, empty)] == [True, True]
    assert sum("no command removes it" in line for line in told(machine)) == 2


def test_a_link_and_a_directory_are_not_followed(machine: Machine, tmp_path: Path) -> None:
    directory, mine = machine.store.parent, tmp_path / "mine.db"
    shutil.copy(machine.store, mine)
    (directory / "secrets.db.format-1").symlink_to(mine)
    (directory / "secrets.db.format-2").mkdir()
    (directory / "secrets.db.format-3").symlink_to(machine.store)
    assert told(machine) == []
    machine.run("purge", "--deleted", "--yes")
    assert mine.exists()
    assert sorted(path.name for path in directory.iterdir() if "format" in path.name) == [
        f"secrets.db.format-{number}" for number in (1, 2, 3)
    ]
    assert machine.run("get", "OLD").stdout == "of before"


@pytest.mark.skipif(not is_root(), reason="giving files away takes root")
def test_a_file_of_another_user_is_no_copy(machine: Machine) -> None:
    path = machine.store.with_name("secrets.db.format-1")
    shutil.copy(machine.store, path)
    give_away(path, 65534)
    assert old_copies.list_copies(machine.store) == []


def test_a_copy_that_changed_since_it_was_shown_stays(machine: Machine) -> None:
    path = machine.store.with_name("secrets.db.format-1")
    shutil.copy(machine.store, path)
    (copy,) = old_copies.list_copies(machine.store)
    os.utime(path, (1, 1))
    with pytest.raises(StoreError):
        old_copies.remove_copy(copy)
    assert path.exists()


def test_where_nobody_can_be_asked_or_says_no_they_stay_and_that_is_said(machine: Machine) -> None:
    aside = set_aside(machine, "--key-file", str(machine.home / "new.key"))
    done = machine.run("purge", "--deleted")
    assert ("copy was not removed" in done.stderr, aside.exists(), machine.key_file.exists()) == (True, True, True)
    with at_a_terminal(machine) as shell:
        shell.type("cs purge --deleted\n")
        shell.see(re.escape(aside.name))
        shell.see(r"Remove this copy of the store\? \[y/N\] ")
        shell.type("n\n")
        shell.see("the copy was not removed")
        assert (aside.exists(), machine.key_file.exists()) == (True, True)
        shell.type("cs purge --deleted\n")
        shell.see(r"Remove this copy of the store\? \[y/N\] ")
        shell.type("y\n")
        shell.see("key file was not removed")
    assert not aside.exists()


def test_a_copy_can_be_removed_without_purging_the_deleted_secrets(machine: Machine) -> None:
    aside = set_aside(machine, "--key-file", str(machine.home / "new.key"))
    machine.run("delete", "OLD", "--yes")
    assert machine.run("purge", "--deleted").returncode == 2  # nobody can be asked
    with at_a_terminal(machine) as shell:
        for answer, end in (("n", "Nothing was changed"), ("y", "Removed ")):
            shell.type("cs purge --deleted\n")
            shell.see(r"Purge 1 deleted secret in all scopes\?.*\[y/N\] ")
            shell.type("n\n")
            shell.see(r"Remove this copy of the store\? \[y/N\] ")
            shell.type(f"{answer}\n")
            shell.see(end)
    assert not aside.exists()
    assert machine.run("restore", "OLD").returncode == 0


def test_a_copy_beside_the_link_and_beside_the_file_it_leads_to_is_found(machine: Machine) -> None:
    (machine.home / "links").mkdir()
    link = machine.home / "links" / "secrets.db"
    link.symlink_to(machine.store)
    both = [machine.store.with_name("secrets.db.aside-20260101-000000"), link.with_name("secrets.db.format-1")]
    for path in both:
        shutil.copy(machine.store, path)
    assert sorted(copy.path for copy in old_copies.list_copies(link)) == sorted(both)
