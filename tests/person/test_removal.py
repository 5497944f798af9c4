"""A store is removed with everything that belongs to it. An interrupted removal is finished by the next one."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from claude_secrets.errors import Code, CustodyError, SecretsError, StoreError
from claude_secrets.keys import key_file
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.slot import State
from claude_secrets.model import Tool
from claude_secrets.person import holdings, keys, removal, secrets
from claude_secrets.person.holdings import Counts
from claude_secrets.person.person import Person
from claude_secrets.store import creation
from claude_secrets.store.store import Store
from tests.support import posix
from tests.support.keyrings import RealKeyring
from tests.support.requirements import require
from tests.support.rounds import rounds
from tests.support.store_world import NO_KEYRING, Agent, World, put

WORDS = "correct horse battery staple"
UNREACHABLE = {**NO_KEYRING}


class Ring:
    """Stores with their keys in a real keyring."""

    def __init__(self, root: Path, keyring: RealKeyring) -> None:
        self.keyring = keyring
        self.path = root / "data" / "secrets.db"
        self._stores: list[Store] = []

    def person(self, path: Path | None = None, *, reachable: bool = True) -> Person:
        environment = self.keyring.environment if reachable else UNREACHABLE
        self._stores.append(Store(path or self.path, Custody(environment=dict(environment)), lambda: 1_800_000_000.0))
        return Person(store=self._stores[-1])

    def keep(self, path: Path | None = None) -> set[str]:
        """Make a store with one secret, and return the names of its keyring entries."""
        before = set(self.keyring.entries())
        person = self.person(path)
        secrets.set_value(person, "T", "value")
        person.store.close()
        return set(self.keyring.entries()) - before

    def close(self) -> None:
        for store in self._stores:
            store.close()


@pytest.fixture
def ring(tmp_path: Path, keyring: RealKeyring) -> Iterator[Ring]:
    ring = Ring(tmp_path, keyring)
    yield ring
    ring.close()
    for entry in keyring.entries():
        keyring.remove(entry)


@pytest.fixture(name="world")
def world_with_secret(world: World) -> World:
    secrets.set_value(world.person(), "T", "value")
    return world


def aside(path: Path, stamp: str = "20260101-000000") -> Path:
    """Rename the store at `path` as `backup restore --aside` does, and return its new path."""
    return path.rename(path.with_name(f"{path.name}.aside-{stamp}"))


def files(directory: Path) -> dict[str, bytes]:
    """Return the files below a directory, without the logs that SQLite makes when it reads a store."""
    found = {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}
    return {path: data for path, data in found.items() if not path.endswith("-shm") and (data or "-wal" not in path)}


def damage(path: Path, statement: str) -> None:
    """Change a closed store's file as an attacker or a fault would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


def refused(person: Person, code: Code) -> SecretsError:
    with pytest.raises(SecretsError) as caught:
        removal.remove_store(person)
    assert caught.value.code is code
    return caught.value


# What is removed


def test_a_store_is_removed_with_its_keyring_entry_and_its_logs(ring: Ring) -> None:
    entries = ring.keep()
    other = ring.keep(ring.path.with_name("other.db"))
    found = holdings.describe(ring.person())
    assert (found.path, found.counts, found.failure) == (ring.path, Counts(secrets=1, deleted=0, versions=1), None)
    assert {entry.name for entry in found.entries} == entries
    assert found.changed is not None
    removed = removal.remove_store(ring.person(), found)
    assert (removed.files, set(removed.entries), removed.entries_left) == ((ring.path,), entries, ())
    assert set(ring.keyring.entries()) == other
    assert [path.name for path in ring.path.parent.iterdir()] == ["other.db"]
    assert secrets.get_value(ring.person(ring.path.with_name("other.db")), "T", warn=pytest.fail) == "value"


def test_secrets_are_counted_with_deleted_ones_and_all_versions(world: World) -> None:
    secrets.set_value(world.person(), "T", "later")
    secrets.set_value(world.person(), "U", "value")
    secrets.delete(world.person(), "U")
    assert holdings.describe(world.person()).counts == Counts(secrets=2, deleted=1, versions=4)


def test_each_of_two_slots_loses_its_entry_and_unfinished_slots_do_too(ring: Ring) -> None:
    first = ring.keep()
    person = ring.person()
    data_key = person.store.fetch_key()
    new = person.store.custody.new_keyring_slot(keys.identity_of(person).store_id, data_key)
    keys.record_and_place(person, [new], data_key)
    assert new.slot.moved(State.COMING) in person.store.slots()
    assert len(ring.keyring.entries()) == 2
    removed = removal.remove_store(ring.person())
    assert (first < set(removed.entries), ring.keyring.entries()) == (True, {})


def test_a_key_file_stays_because_another_store_may_use_it(world: World) -> None:
    other = world.root / "other" / "secrets.db"
    sharing = Custody(environment={**NO_KEYRING, "CLAUDE_SECRETS_KEY_FILE": str(world.key_file)})
    store = Store(other, sharing, lambda: world.time)
    put(store, "OTHER", "still there")
    store.close()
    found = holdings.describe(world.person())
    assert found.key_files == (world.key_file,)
    removal.remove_store(world.person(), found)
    assert not world.path.exists()
    again = Store(other, sharing, lambda: world.time)
    assert secrets.get_value(Person(store=again), "OTHER", warn=pytest.fail) == "still there"
    again.close()


def test_the_draft_of_a_key_file_is_removed_because_it_has_the_stores_id(world: World) -> None:
    identity, _ = world.person().store.key_state()
    draft = key_file._draft_of(world.key_file, identity.store_id)
    foreign = key_file._draft_of(world.key_file, "0" * 32)
    draft.touch()
    foreign.touch()
    removal.remove_store(world.person())
    assert (draft.exists(), foreign.exists(), world.key_file.exists()) == (False, True, True)


def test_a_store_with_a_passphrase_and_a_code_is_removed_without_either(world: World) -> None:
    keys.add_passphrase(world.person(), WORDS)
    keys.create_code(world.person(), replacing=False)
    world.key_file.unlink()
    found = holdings.describe(world.person())
    assert (found.counts, found.failure is not None, found.entries, found.key_files) == (None, True, (), ())
    removal.remove_store(world.person(), found)
    assert [*world.path.parent.iterdir()] == []


def test_old_copies_lose_their_entries_and_what_is_no_copy_stays(ring: Ring) -> None:
    first = ring.keep()
    copies = [aside(ring.path)]
    second = ring.keep()
    copies.append(ring.path.with_name(f"{ring.path.name}.format-1"))
    shutil.copy(ring.path, copies[1])
    no_copy = ring.path.with_name(f"{ring.path.name}.aside-20260101-000001")
    no_copy.write_text("the person's own file")
    found = holdings.describe(ring.person())
    assert ({copy.path for copy in found.copies}, [copy.path for copy in found.unproven]) == ({*copies}, [no_copy])
    assert {entry.name for entry in found.entries} == first | second
    removal.remove_store(ring.person(), found)
    assert [*ring.path.parent.iterdir()] == [no_copy]
    assert ring.keyring.entries() == {}


def test_a_link_is_removed_after_the_store_that_it_leads_to(world: World) -> None:
    world.close()
    real = world.root / "elsewhere" / "my.db"
    real.parent.mkdir()
    world.path.rename(real)
    world.path.symlink_to(real)
    removed = removal.remove_store(world.person())
    assert removed.files == (real, world.path)
    assert [*real.parent.iterdir(), *world.path.parent.iterdir()] == []


def test_no_store_is_nothing_to_remove(tmp_path: Path) -> None:
    world = World(tmp_path, store=False)
    assert holdings.describe(world.person()).is_empty
    assert removal.remove_store(world.person()) == ((), (), ())
    assert not world.path.parent.exists()


# Stores that no key opens


def test_a_store_whose_entry_is_lost_is_removed(ring: Ring) -> None:
    (entry,) = ring.keep()
    other = ring.keep(ring.path.with_name("other.db"))
    ring.keyring.remove(entry)
    found = holdings.describe(ring.person())
    assert (found.counts, found.entries) == (None, ())
    assert removal.remove_store(ring.person(), found).files == (ring.path,)
    assert set(ring.keyring.entries()) == other


def test_an_entry_that_opens_nothing_is_removed_by_its_name(ring: Ring) -> None:
    (entry,) = ring.keep()
    ring.keyring.put(entry, "no key")
    removal.remove_store(ring.person())
    assert (ring.keyring.entries(), ring.path.exists()) == ({}, False)


def test_without_a_keyring_the_store_is_removed_and_the_entry_that_is_left_is_named(ring: Ring) -> None:
    entries = ring.keep()
    found = holdings.describe(ring.person(reachable=False))
    assert found.counts is None
    assert [entry.failure and entry.failure.code for entry in found.entries] == [Code.KEYRING_UNAVAILABLE]
    removed = removal.remove_store(ring.person(reachable=False), found)
    assert (set(removed.entries_left), removed.entries, ring.path.exists()) == (entries, (), False)


def test_a_locked_keyring_refuses_because_it_can_be_unlocked(tmp_path: Path, keyring_session: RealKeyring) -> None:
    ring = Ring(tmp_path, keyring_session)
    ring.keep()
    person = ring.person()
    keys.add_file(person, tmp_path / "opens.key")
    person.store.close()
    before = files(ring.path.parent)
    keyring_session.lock()
    for what in ("opens with the key file", "does not open"):
        with pytest.raises(CustodyError, match="KEYRING_LOCKED"):
            holdings.describe(ring.person())
        refused(ring.person(), Code.KEYRING_LOCKED)
        assert files(ring.path.parent) == before, what
        (tmp_path / "opens.key").unlink(missing_ok=True)
    ring.close()


def test_an_entry_outside_the_stores_own_names_is_never_looked_for(ring: Ring) -> None:
    ring.keep()
    ring.keyring.put("another.entry", "of somebody else")
    ring.close()
    damage(ring.path, "UPDATE store SET store_id = 'another'")
    damage(ring.path, "UPDATE key_slots SET slot_id = 'entry'")
    found = holdings.describe(ring.person())
    assert found.entries == ()
    removal.remove_store(ring.person(), found)
    assert "another.entry" in ring.keyring.entries()


def test_a_damaged_store_is_removed_with_the_entries_that_it_still_names(ring: Ring) -> None:
    entries = ring.keep()
    damage(ring.path, "DROP TABLE records")
    found = holdings.describe(ring.person())
    assert (found.counts, found.unread) == (None, ())
    assert {entry.name for entry in found.entries} == entries
    removal.remove_store(ring.person(), found)
    assert (ring.keyring.entries(), ring.path.exists()) == ({}, False)


def test_a_damaged_store_whose_slots_are_lost_says_so(world: World) -> None:
    world.close()
    damage(world.path, "DROP TABLE key_slots")
    found = holdings.describe(world.person())
    assert found.unread == (world.path,)
    removal.remove_store(world.person(), found)
    assert not world.path.exists()


# Files that are not removed


def test_a_file_that_is_no_store_is_never_removed(world: World) -> None:
    world.close()
    for content in (b"", b"the person's own file", b"SQLite format 3\0" + b"x" * 5000):
        world.path.write_bytes(content)
        with pytest.raises(StoreError):
            removal.remove_store(world.person())
        assert world.path.read_bytes() == content
    world.path.unlink()
    world.path.mkdir()
    refused(world.person(), Code.STORE_FORMAT)
    assert world.path.is_dir()


def test_the_store_of_another_user_is_never_removed(world: World) -> None:
    if not posix.is_root():
        pytest.skip("only root can give a file away")
    world.close()
    posix.give_away(world.path, 54321)
    before = files(world.root)
    refused(world.person(), Code.STORE_UNAVAILABLE)
    assert files(world.root) == before


def test_a_store_with_a_second_name_is_refused_because_it_would_stay_there(world: World) -> None:
    world.close()
    second = world.root / "second.db"
    second.hardlink_to(world.path)
    refused(world.person(), Code.STORE_UNAVAILABLE)
    assert (world.path.exists(), second.exists()) == (True, True)


def test_a_newer_format_is_refused_because_its_keys_are_unknown(world: World) -> None:
    world.close()
    damage(world.path, "PRAGMA user_version = 99")
    assert "Upgrade" in str(refused(world.person(), Code.STORE_FORMAT).hint)
    assert world.path.exists()


REMOVING = """
import sys
from pathlib import Path
from claude_secrets.errors import SecretsError
from claude_secrets.keys.custody import Custody
from claude_secrets.person import removal
from claude_secrets.person.person import Person
from claude_secrets.store.store import Store
import os, time
store = Store(Path(sys.argv[1]), Custody(environment=dict(os.environ)), time.time)
try:
    removal.remove_store(Person(store=store))
    print("removed")
except SecretsError as error:
    print(error.code)
"""


def removed_by_process(path: Path, environment: dict[str, str], *wrapper: str) -> str:
    command = [*wrapper, sys.executable, "-P", "-c", REMOVING, str(path)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode in (0, -9, 137), done.stderr) == (True, "")
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes of directories")
def test_in_a_read_only_directory_nothing_is_removed(ring: Ring) -> None:
    entries = ring.keep()
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"] if posix.is_root() else []
    if bound:
        require("setpriv")
    before = files(ring.path.parent)
    ring.path.parent.chmod(0o500)
    try:
        assert removed_by_process(ring.path, ring.keyring.environment, *bound) == Code.STORE_UNAVAILABLE
    finally:
        ring.path.parent.chmod(0o700)
    assert (files(ring.path.parent), set(ring.keyring.entries())) == (before, entries)
    assert removed_by_process(ring.path, ring.keyring.environment, *bound) == "removed"
    assert ring.keyring.entries() == {}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes of directories")
def test_a_link_into_a_read_only_directory_refuses_before_anything_is_removed(ring: Ring) -> None:
    entries = ring.keep()
    ring.close()
    real = ring.path.parent.parent / "elsewhere" / "my.db"
    real.parent.mkdir()
    ring.path.rename(real)
    ring.path.symlink_to(real)
    secrets.set_value(ring.person(), "NEW", "value")  # a client has it open, so others can open it without a new log
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"] if posix.is_root() else []
    real.parent.chmod(0o500)
    try:
        assert removed_by_process(ring.path, ring.keyring.environment, *bound) == Code.STORE_UNAVAILABLE
    finally:
        real.parent.chmod(0o700)
    assert (real.exists(), ring.path.is_symlink(), set(ring.keyring.entries())) == (True, True, entries)


# Changes since the store was shown


def add_secret(ring: Ring) -> None:
    person = ring.person()
    secrets.set_value(person, "NEW", "value")
    person.store.close()


def replace_store(ring: Ring) -> None:
    ring.path.rename(ring.path.with_name("moved.db"))
    ring.keep()


def rotate(ring: Ring) -> None:
    person = ring.person()
    keys.replace_in_keyring(person)
    person.store.close()


def set_copy_aside(ring: Ring) -> None:
    shutil.copy(ring.path, ring.path.with_name(f"{ring.path.name}.aside-20260101-000000"))


@pytest.mark.parametrize("change", [add_secret, replace_store, rotate, set_copy_aside])
def test_a_store_that_changed_since_it_was_shown_is_not_removed(ring: Ring, change: Callable[[Ring], None]) -> None:
    ring.keep()
    found = holdings.describe(ring.person())
    ring.close()
    change(ring)
    before, entries = files(ring.path.parent), ring.keyring.entries()
    with pytest.raises(StoreError) as caught:
        removal.remove_store(ring.person(), found)
    assert caught.value.code is Code.STORE_BUSY
    assert (files(ring.path.parent), ring.keyring.entries()) == (before, entries)


# Interrupted removals


def test_an_entry_that_cannot_be_deleted_keeps_every_file(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    ring.keep()
    aside(ring.path)
    ring.keep()
    person, before = ring.person(), files(ring.path.parent)

    def fail(*_: object) -> None:
        raise CustodyError(Code.KEYRING_UNAVAILABLE, "The keyring has gone.")

    with monkeypatch.context() as patch:
        patch.setattr(person.store.custody, "take_away", fail)
        refused(person, Code.KEYRING_UNAVAILABLE)
    assert files(ring.path.parent) == before
    removal.remove_store(ring.person())
    assert ([*ring.path.parent.iterdir()], ring.keyring.entries()) == ([], {})


def test_a_file_that_cannot_be_removed_is_named_and_the_next_run_finishes(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring.keep()
    unlink = Path.unlink

    def fail(path: Path, *, missing_ok: bool = False) -> None:
        if path == ring.path:
            raise PermissionError
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", fail)
        assert str(ring.path) in refused(ring.person(), Code.STORE_UNAVAILABLE).message
    assert ring.path.exists()
    removal.remove_store(ring.person())
    assert ([*ring.path.parent.iterdir()], ring.keyring.entries()) == ([], {})


SYSCALLS = {"unlink": 2, "sendto": 6}
"""The system calls that change files or the keyring. A test kills the process at each N-th, or with TESTS_DEEP at all.
"""


def test_a_removal_that_is_killed_at_any_step_is_finished_by_the_next(ring: Ring) -> None:
    tracer = require("strace")
    killed = 0
    for call, each in SYSCALLS.items():
        for number in range(1, 100, rounds(each, 1)):
            ring.keep()
            aside(ring.path)
            ring.keep()
            real = ring.path.parent.parent / "elsewhere.db"
            ring.path.rename(real)
            ring.path.symlink_to(real)
            trace = [tracer, "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}"]
            inject = ["-e", f"inject={call}:signal=SIGKILL:when={number}"]
            ended = removed_by_process(ring.path, ring.keyring.environment, *trace, *inject)
            if ended == "removed":
                check_nothing_is_left(ring, real)
                break
            killed += 1
            check_left(ring, real)
            assert removed_by_process(ring.path, ring.keyring.environment) == "removed", (call, number)
            check_nothing_is_left(ring, real)
    assert killed > 4


def check_left(ring: Ring, real: Path) -> None:
    """Check that every remaining entry is named by a remaining file, and that something is left to find."""
    person = ring.person()
    found = holdings.describe(person)
    person.store.close()
    assert {entry.name for entry in found.entries} == set(ring.keyring.entries())
    assert not found.is_empty or not (real.exists() or ring.path.is_symlink())


def check_nothing_is_left(ring: Ring, real: Path) -> None:
    assert ([*ring.path.parent.iterdir()], ring.keyring.entries()) == ([], {})
    assert [path for path in real.parent.iterdir() if path.name.startswith(real.name)] == []


def test_a_killed_creation_loses_its_draft_and_its_entry(ring: Ring) -> None:
    ring.keep()
    ring.path.rename(creation.draft_of(ring.path))
    found = holdings.describe(ring.person())
    assert (found.number, found.leftovers, len(found.entries)) == (None, (creation.draft_of(ring.path),), 1)
    removal.remove_store(ring.person(), found)
    assert ([*ring.path.parent.iterdir()], ring.keyring.entries()) == ([], {})


def test_a_log_without_its_store_is_removed(world: World) -> None:
    world.close()
    world.path.unlink()
    log = world.path.with_name("secrets.db-wal")
    log.write_bytes(b"the last changes")
    found = holdings.describe(world.person())
    assert (found.is_empty, found.leftovers) == (False, (log,))
    removal.remove_store(world.person(), found)
    assert [*world.path.parent.iterdir()] == []


def test_a_link_whose_store_is_missing_is_removed(world: World) -> None:
    world.close()
    target = world.root / "disk" / "my.db"
    world.path.unlink()
    world.path.symlink_to(target)
    found = holdings.describe(world.person())
    assert (found.real, found.number, found.leftovers) == (target, None, (world.path,))
    assert removal.remove_store(world.person(), found).files == (world.path,)


def test_while_another_process_makes_the_store_nothing_is_removed(world: World) -> None:
    from claude_secrets.atomic_file import draft

    with draft(creation.draft_of(world.path), patience=0):
        refused(world.person(), Code.STORE_BUSY)
    assert world.path.exists()


# Other processes that have the store open


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no open files that can be removed")
def test_a_running_server_fails_with_a_code_and_makes_no_new_store(world: World) -> None:
    agent = Agent(world, world.project("api"))
    agent.set("OLD", "old data")
    assert agent.get("OLD") == "old data"
    removal.remove_store(world.person())
    assert agent.refused(Tool.GET_SECRET, "OLD") is Code.STORE_UNAVAILABLE
    assert agent.refused(Tool.SET_SECRET, "NEW", value="new data") is Code.STORE_UNAVAILABLE
    assert agent.refused(Tool.LIST_SECRETS) is Code.STORE_UNAVAILABLE
    assert [*world.path.parent.iterdir()] == []
    world.key_file.unlink()
    world.create()  # a new store at the same path
    agent.set("NEW", "new data")
    assert agent.names() == ["NEW"]
    world.close()
    assert b"old data" not in world.stored_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no open files that can be removed")
def test_a_server_that_ends_later_leaves_the_log_of_a_new_store(world: World) -> None:
    old = world.store()
    put(old, "T", "later")
    removal.remove_store(world.person())
    with pytest.raises(StoreError, match="STORE_UNAVAILABLE"):
        put(old, "T", "later still")
    assert not world.path.exists()
    world.key_file.unlink()
    world.create()
    put(world.store(), "NEW", "value")
    log = world.path.with_name(f"{world.path.name}-wal")
    size = log.stat().st_size
    assert size > 0
    old.close()
    assert log.stat().st_size == size
    assert secrets.get_value(world.person(), "NEW", warn=pytest.fail) == "value"


def test_a_server_that_found_no_store_still_makes_one(tmp_path: Path, keyring: RealKeyring) -> None:
    person = Ring(tmp_path, keyring).person()
    assert not person.store.exists()
    put(person.store, "T", "value")
    removal.remove_store(person)
    put(person.store, "T", "value")  # this process has closed the removed store
    removal.remove_store(person)
    assert keyring.entries() == {}
