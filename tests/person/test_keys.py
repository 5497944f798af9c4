"""Adding, removing, replacing and recovering a store's keys. Some tests use a real keyring."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from claude_secrets.errors import CallerError, Code, CustodyError, StoreError
from claude_secrets.keys import recovery_code
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.slot import FILE, KEYRING, PASSPHRASE, Slot, State
from claude_secrets.person import keys, rotation, secrets
from claude_secrets.person.person import Person
from claude_secrets.store import key_slots
from claude_secrets.store.store import Store
from tests.support import sqlite_attacker as attacker
from tests.support.keyrings import RealKeyring
from tests.support.machine import PROGRAM, Machine
from tests.support.store_world import World

WORDS = "correct horse battery staple"


@pytest.fixture(name="world")
def world_with_secret(world: World) -> World:
    secrets.set_value(world.person(), "T", "value")
    return world


class Ring:
    """A store with its key in a real keyring."""

    def __init__(self, root: Path, keyring: RealKeyring) -> None:
        self.keyring = keyring
        self.path = root / "data" / "secrets.db"
        self._stores: list[Store] = []
        secrets.set_value(self.person(), "T", "value")

    def person(self, *, passphrase: str | None = None) -> Person:
        ask = None if passphrase is None else (lambda: passphrase)
        custody = Custody(environment=dict(self.keyring.environment), ask_passphrase=ask)
        self._stores.append(Store(self.path, custody, lambda: 1_800_000_000.0))
        return Person(store=self._stores[-1])

    def close(self) -> None:
        for store in self._stores:
            store.close()

    def wipe(self) -> None:
        for entry in self.keyring.entries():
            self.keyring.remove(entry)


@pytest.fixture
def ring(tmp_path: Path, keyring_session: RealKeyring) -> Iterator[Ring]:
    ring = Ring(tmp_path, keyring_session)
    yield ring
    ring.close()


def rotated(person: Person) -> None:
    """Replace all keys of a store that no passphrase opens."""
    found, _ = rotation.prepare(person)
    rotation.replace_every_key(
        person, found, [], passphrases={}, code=recovery_code.new_code(), progress=lambda *_: None
    )


def kinds(person: Person) -> list[str]:
    return sorted(info.slot.kind for info in keys.list_keys(person))


def slot_of(person: Person, kind: str) -> Slot:
    (slot,) = (info.slot for info in keys.list_keys(person) if info.slot.kind == kind)
    return slot


def value(person: Person) -> str:
    return secrets.get_value(person, "T", warn=pytest.fail)


# Adding


def test_each_key_that_is_added_opens_the_store_by_itself(world: World) -> None:
    other = world.root / "keys" / "other.key"
    keys.add_file(world.person(), other)
    keys.add_passphrase(world.person(), WORDS)
    code = keys.create_code(world.person(), replacing=False)
    assert kinds(world.person()) == [FILE, FILE, PASSPHRASE, PASSPHRASE]
    world.key_file.unlink()
    assert value(world.person()) == "value"
    other.unlink()
    with pytest.raises(CustodyError):
        value(world.person())
    custody = Custody(environment={}, ask_passphrase=lambda: WORDS)
    with closing(Store(world.path, custody, lambda: world.time)) as store:
        assert value(Person(store=store)) == "value"
    with closing(world.store()) as store:
        store.unlock_with_code(code)
        assert value(Person(store=store)) == "value"


def test_a_second_code_replaces_the_first_only_if_it_is_to(world: World) -> None:
    first = keys.create_code(world.person(), replacing=False)
    with pytest.raises(CallerError) as caught:
        keys.create_code(world.person(), replacing=False)
    assert "--replace" in str(caught.value.hint)
    second = keys.create_code(world.person(), replacing=True)
    assert kinds(world.person()) == [FILE, PASSPHRASE]
    for code, opens in ((first, False), (second, True)):
        with closing(world.store()) as store:
            if opens:
                store.unlock_with_code(code)
            else:
                with pytest.raises(CustodyError, match="KEY_WRONG"):
                    store.unlock_with_code(code)


@pytest.mark.parametrize("place", ["keys/master.key", "data/beside.key", "no/such/place.key"])
def test_a_key_file_that_cannot_be_made_leaves_no_slot(world: World, place: str) -> None:
    before = world.rows()
    with pytest.raises(CallerError, match="INVALID_ARGUMENTS"):
        keys.add_file(world.person(), world.root / place)
    assert world.rows() == before
    assert value(world.person()) == "value"


# Removing


def test_the_last_key_that_opens_the_store_is_never_removed(world: World) -> None:
    only = slot_of(world.person(), FILE)
    for prefix in (only.slot_id, only.slot_id[:4]):
        with pytest.raises(CallerError) as caught:
            keys.remove_key(world.person(), prefix)
        assert caught.value.code is Code.INVALID_ARGUMENTS
    other = world.root / "keys" / "other.key"
    keys.add_file(world.person(), other)
    other.unlink()  # so this key cannot open the store
    with pytest.raises(CallerError):
        keys.remove_key(world.person(), only.slot_id)
    keys.add_passphrase(world.person(), WORDS)
    keys.remove_key(world.person(), only.slot_id)
    assert world.key_file.exists()
    assert kinds_of_rows(world) == [FILE, PASSPHRASE]


def kinds_of_rows(world: World) -> list[str]:
    with closing(world.store()) as store:
        return sorted(slot.kind for slot in store.slots())


@pytest.mark.parametrize("prefix", ["", "zz", "0123456789abcdef0"])
def test_a_slot_that_is_not_told_apart_is_not_removed(world: World, prefix: str) -> None:
    keys.add_passphrase(world.person(), WORDS)
    with pytest.raises(CallerError) as caught:
        keys.remove_key(world.person(), prefix)
    assert caught.value.code is Code.NOT_FOUND
    assert len(keys.list_keys(world.person())) == 2


# The keyring


def test_rotating_leaves_one_entry_which_is_another_one(ring: Ring) -> None:
    ((entry, old),) = ring.keyring.entries().items()
    (slot,) = keys.replace_in_keyring(ring.person())
    ((new_entry, new),) = ring.keyring.entries().items()
    assert (new_entry.endswith(slot.slot_id), new_entry != entry, new != old) == (True, True, True)
    assert value(ring.person()) == "value"
    ring.wipe()
    ring.keyring.put(entry, old)
    ring.keyring.put(new_entry, old)
    with pytest.raises(CustodyError, match="KEY_WRONG"):
        value(ring.person())


def test_a_keyring_that_was_wiped_is_made_up_for(ring: Ring) -> None:
    code = keys.create_code(ring.person(), replacing=False)
    keys.add_passphrase(ring.person(), WORDS)
    ring.wipe()
    with pytest.raises(CustodyError, match="KEY_MISSING"):
        value(ring.person())
    assert value(ring.person(passphrase=WORDS)) == "value"
    keys.recover(ring.person(), code, None)
    assert value(ring.person()) == "value"
    assert len(ring.keyring.entries()) == 1
    dead = [info.slot for info in keys.list_keys(ring.person()) if info.failure is not None]
    assert [slot.kind for slot in dead] == [KEYRING]
    keys.remove_key(ring.person(), dead[0].slot_id)
    assert kinds(ring.person()) == [KEYRING, PASSPHRASE, PASSPHRASE]
    assert value(ring.person()) == "value"


def test_removing_a_slot_of_the_keyring_takes_its_entry_along(ring: Ring) -> None:
    keys.add_passphrase(ring.person(), WORDS)
    keys.remove_key(ring.person(), slot_of(ring.person(), KEYRING).slot_id)
    assert ring.keyring.entries() == {}
    assert value(ring.person(passphrase=WORDS)) == "value"


def test_a_keyring_that_is_locked_in_the_middle_of_it_loses_nothing(ring: Ring) -> None:
    keys.add_passphrase(ring.person(), WORDS)
    person = ring.person(passphrase=WORDS)
    assert value(person) == "value"  # the process has the key in memory
    slot = slot_of(person, KEYRING)
    ring.keyring.lock()
    with pytest.raises(CustodyError, match="KEYRING_LOCKED"):
        keys.remove_key(person, slot.slot_id)
    with pytest.raises((CustodyError, CallerError)):
        keys.replace_in_keyring(person)
    assert value(ring.person(passphrase=WORDS)) == "value"
    assert kinds(ring.person(passphrase=WORDS)) == [KEYRING, PASSPHRASE]


def test_what_a_killed_process_left_is_cleared_away(ring: Ring) -> None:
    store_id = next(iter(ring.keyring.entries())).partition(".")[0]
    for state in (State.COMING, State.LEAVING):
        with ring.person().store.write() as tx:
            key_slots.add(tx, Slot(f"{state.value:0>16}", KEYRING, json.dumps({"state": state.value}), b"x"))
        ring.keyring.put(f"{store_id}.{state.value:0>16}", "left behind")
    assert len(ring.keyring.entries()) == 3
    keys.clear_away(ring.person())
    assert len(ring.keyring.entries()) == 1
    assert kinds(ring.person()) == [KEYRING]
    assert value(ring.person()) == "value"


def test_no_key_is_deleted_by_what_somebody_wrote_into_the_store(ring: Ring) -> None:
    keys.create_code(ring.person(), replacing=False)
    ring.close()
    with attacker.attacker(ring.path) as connection:
        connection.execute("""UPDATE key_slots SET params = '{"state":"leaving"}' WHERE kind = 'keyring'""")
    for attempt in (keys.clear_away, keys.list_keys, keys.replace_in_keyring):
        with pytest.raises(StoreError, match="STORE_TAMPERED"):
            attempt(ring.person())
    assert len(ring.keyring.entries()) == 1


# Two processes at once


def test_of_two_who_change_a_slot_the_second_finds_out(world: World) -> None:
    keys.add_passphrase(world.person(), WORDS)
    slot = slot_of(world.person(), PASSPHRASE)
    with world.person().store.write() as tx:
        key_slots.change(tx, slot, slot.moved(State.LEAVING))
    with pytest.raises(StoreError) as caught, world.person().store.write() as tx:
        key_slots.change(tx, slot, None)
    assert caught.value.code is Code.STORE_BUSY
    assert value(world.person()) == "value"


# On the command line and in the server


@pytest.fixture(name="machine")
def machine_with_passphrase(bare_machine: Machine) -> Machine:
    done = bare_machine.run("init", "--passphrase", "--new-passphrase-fd", "0", stdin=WORDS)
    assert (done.returncode, "Without the passphrase" in done.stdout) == (0, True)
    return bare_machine


def test_a_store_that_a_passphrase_opens_needs_no_keyring(machine: Machine) -> None:
    project = machine.project("api")
    (machine.home / "words").write_text(f"{WORDS}\n")
    opening = ["bash", "-c", 'exec "$@" --passphrase-fd 3 3<"$HOME/words"', "-"]
    with machine.server(project, wrapper=opening) as server:
        server.text("set_secret", name="T", value="v")
        assert server.text("get_secret", name="T") == "v"
    done = machine.run("--passphrase-fd", "0", "get", "T", at=project, stdin=f"{WORDS}\n")
    assert (done.returncode, done.stdout) == (0, "v")


def test_without_the_passphrase_nothing_opens_and_it_is_said_what_to_do(machine: Machine) -> None:
    with machine.server(machine.project("api")) as server:
        assert server.code("set_secret", name="T", value="v") == "KEY_MISSING"
    for stdin, code in ((WORDS.upper(), "[KEY_WRONG]"), ("", "[INVALID_ARGUMENTS]")):
        done = machine.run("--passphrase-fd", "0", "list", stdin=stdin)
        assert (done.returncode != 0, done.stderr.split()[1], "Traceback" in done.stderr) == (True, code, False)
    done = machine.run("list")
    assert (done.returncode, done.stderr.split()[1], "hint: " in done.stderr) == (4, "[KEY_MISSING]", True)
    for wrong in ("99", "-1", "x"):
        assert machine.run("--passphrase-fd", wrong, "list").returncode == 2, wrong
    assert machine.run("init", "--passphrase", "--key-file", "k").returncode == 2


def test_a_key_file_is_looked_for_where_the_environment_says(tmp_path: Path) -> None:
    machine = Machine(tmp_path).use_key_file()
    machine.run("set", "T", stdin="v")
    moved = machine.home / "elsewhere.key"
    machine.key_file.rename(moved)
    assert machine.run("get", "T").returncode == 4
    named = {"CLAUDE_SECRETS_KEY_FILE": str(moved)}
    assert machine.run("get", "T", environment=named).stdout == "v"
    project = machine.project("api")
    with machine.server(project, environment=named) as server:
        assert server.code("get_secret", name="T") == "NOT_TRUSTED"  # this shows that the store is open
    inside = project / "k"
    inside.write_bytes(moved.read_bytes())
    inside.chmod(0o600)
    named = {"CLAUDE_SECRETS_KEY_FILE": str(inside)}
    with machine.server(project, environment=named) as server:
        assert server.code("get_secret", name="T") == "KEY_MISSING"
    assert machine.run("get", "T", at=project, environment=named).returncode == 4


def test_no_first_key_is_made_inside_a_project(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    project = machine.project("api")
    named = {"CLAUDE_SECRETS_KEY_FILE": str(project / "k")}
    with machine.server(project, environment=named) as server:
        for tool, arguments in (("set_secret", {"name": "T", "value": "v"}), ("get_secret", {"name": "T"})):
            assert server.code(tool, **arguments) == "KEY_MISSING"
    assert machine.run("set", "T", at=project, stdin="v", environment=named).returncode == 4
    assert not (project / "k").exists()
    assert not machine.store.exists()


def test_the_first_write_makes_the_key_where_the_environment_says(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    key_file = machine.home / "made.key"
    named = {"CLAUDE_SECRETS_KEY_FILE": str(key_file)}
    assert machine.run("set", "T", stdin="v", environment=named).returncode == 0
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert machine.run("get", "T").stdout == "v"  # the slot contains the key file's path
    other = Machine(tmp_path / "other")
    provided = {"CLAUDE_SECRETS_KEY_FILE": str(key_file)}
    assert other.run("set", "T", stdin="w", environment=provided).returncode == 0
    assert (machine.run("get", "T").stdout, other.run("get", "T").stdout) == ("v", "w")
    for content, code in ((b"notes of mine", "[KEY_WRONG]"), (b"", "[KEY_WRONG]")):
        wrong = Machine(tmp_path / f"wrong{len(content)}")
        mine = wrong.home / "mine"
        mine.write_bytes(content)
        mine.chmod(0o600)
        done = wrong.run("set", "T", stdin="v", environment={"CLAUDE_SECRETS_KEY_FILE": str(mine)})
        assert (done.returncode, done.stderr.split()[1]) == (4, code)
        assert (mine.read_bytes(), wrong.store.exists()) == (content, False)


def test_the_code_is_shown_once_and_read_from_standard_input(tmp_path: Path) -> None:
    machine = Machine(tmp_path).use_key_file()
    machine.run("set", "T", stdin="v")
    code = machine.run("recover", "create").stdout
    machine.key_file.unlink()
    for typed, said in (
        (code[::-1], "[INVALID_VALUE]"),
        (recovery_code.new_code(), "[KEY_WRONG]"),
        ("ü", "[INVALID_VALUE]"),
    ):
        done = machine.run("recover", "use", "--key-file", str(machine.home / "new.key"), stdin=typed)
        assert (done.returncode != 0, done.stderr.split()[1]) == (True, said)
        assert not (machine.home / "new.key").exists()
    done = machine.run("recover", "use", "--key-file", str(machine.home / "new.key"), stdin=code.lower())
    assert done.returncode == 0, done.stderr
    assert machine.run("get", "T").stdout == "v"
    raw = subprocess.run([*PROGRAM, "key", "list"], env=machine.environment, capture_output=True, check=True, cwd="/")
    assert code.strip().encode() not in raw.stdout + raw.stderr


def test_of_two_removals_at_once_one_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = keys.list_keys(world.person())[0].slot
    second = keys.add_file(world.person(), world.root / "keys" / "second.key")
    looked = keys.list_keys

    def then_another_was_quicker(person: Person) -> list[keys.KeyInfo]:
        found = looked(person)
        monkeypatch.setattr(keys, "list_keys", looked)
        keys.remove_key(world.person(), second.slot_id)
        return found

    monkeypatch.setattr(keys, "list_keys", then_another_was_quicker)
    with pytest.raises(StoreError) as caught:
        keys.remove_key(world.person(), first.slot_id)
    assert caught.value.code is Code.STORE_BUSY
    assert [info.slot for info in keys.list_keys(world.person())] == [first]


@pytest.mark.parametrize("action", ["file", "code", "passphrase", "data key"])
def test_a_key_that_was_replaced_meanwhile_is_wrapped_for_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    secrets.set_value(world.person(), "T", "v")
    before = [info.slot.slot_id for info in keys.list_keys(world.person())]
    person = world.person()
    old = person.store.fetch_key()
    rotated(world.person())
    monkeypatch.setattr(person.store, "fetch_key", lambda: old)
    act: dict[str, Callable[[], object]] = {
        "file": lambda: keys.add_file(person, world.root / "keys" / "second.key"),
        "code": lambda: keys.create_code(person, replacing=False),
        "passphrase": lambda: keys.add_passphrase(person, "correct horse battery staple"),
        "data key": lambda: rotated(person),
    }
    with pytest.raises(StoreError) as caught:
        act[action]()
    assert caught.value.code is Code.STORE_BUSY
    assert [info.slot.slot_id for info in keys.list_keys(world.person())] == before
    assert secrets.get_value(world.person(), "T", warn=print) == "v"


def test_a_slot_of_another_generation_does_not_keep_the_good_ones_from_opening(world: World) -> None:
    secrets.set_value(world.person(), "T", "v")
    person = world.person()
    (good,) = (info.slot for info in keys.list_keys(person))
    with person.store.read() as tx:
        store_id = tx.cipher.store_id
    path, custody = world.root / "keys" / "stale.key", person.store.custody
    stale = custody.new_file_slot(store_id, person.store.fetch_key(), path, store=world.path)
    while stale.slot.slot_id > good.slot_id:  # slots are tried in the order of their numbers
        stale = custody.new_file_slot(store_id, person.store.fetch_key(), path, store=world.path)
    stale.place_key()
    rotated(world.person())
    with world.person().store.write() as tx:
        key_slots.add(tx, stale.slot)
    again = world.person()
    assert secrets.get_value(again, "T", warn=print) == "v"
    failures = {info.slot.slot_id: info.failure for info in keys.list_keys(again)}
    assert (failures[good.slot_id], failures[stale.slot.slot_id] is None) == (None, False)
    with pytest.raises(CallerError):
        keys.remove_key(again, good.slot_id)


def test_a_leaving_key_that_alone_opens_the_store_stays(world: World) -> None:
    """This happens when a keyring is restored to an earlier state after a new entry was made."""
    secrets.set_value(world.person(), "T", "v")
    first = keys.list_keys(world.person())[0].slot
    second = keys.add_file(world.person(), world.root / "keys" / "second.key")
    person = world.person()
    with person.store.write() as tx:
        key_slots.change(tx, first, first.moved(State.LEAVING))
    (world.root / "keys" / "second.key").unlink()
    keys.clear_away(world.person())
    assert world.key_file.exists()
    assert secrets.get_value(world.person(), "T", warn=print) == "v"
    states = {info.slot.slot_id: info.slot.state for info in keys.list_keys(world.person())}
    assert states == {first.slot_id: State.THERE, second.slot_id: State.THERE}


def test_a_code_that_was_replaced_is_said_to_be_replaced_or_of_another_store(tmp_path: Path) -> None:
    machine = Machine(tmp_path).use_key_file()
    old = machine.run("recover", "create").stdout
    machine.run("recover", "create", "--replace")
    done = machine.run("recover", "use", "--key-file", str(machine.home / "new.key"), stdin=old)
    error, hint = done.stderr.splitlines()
    assert (done.returncode, hint) == (4, "hint: Type the newest recovery code of this store.")
    assert error.endswith("does not open this store. It may have been replaced, or belong to another store.")


@pytest.mark.parametrize("key", ["there", "lost", "passphrase"])
def test_no_code_is_asked_for_if_the_store_has_none(tmp_path: Path, key: str) -> None:
    machine = Machine(tmp_path).use_key_file()
    if key == "passphrase":
        machine.run("key", "add-passphrase", "--new-passphrase-fd", "0", stdin=WORDS)
    if key != "there":
        machine.key_file.unlink()
    hints = {
        "there": "Its key opens the store. To make a recovery code: ",
        "lost": str(machine.key_file),
        "passphrase": "Its passphrase opens the store. To make a recovery code: ",
    }
    done = machine.run("recover", "use", "--key-file", str(machine.home / "new.key"), stdin="not a code")
    error, hint = done.stderr.splitlines()
    assert (done.returncode, error) == (4, "error: [KEY_MISSING] This store has no recovery code.")
    assert hints[key] in hint
    assert "recover use" not in hint


@pytest.mark.parametrize("words", ["init --key-file", "key add-file", "recover use --key-file"])
def test_a_new_key_file_in_the_project_is_refused_before_anything_is_asked(tmp_path: Path, words: str) -> None:
    machine = Machine(tmp_path)
    if not words.startswith("init"):
        machine.use_key_file().run("recover", "create")
    project = machine.project("api")
    done = machine.run(*words.split(), str(project / "new.key"), at=project, stdin="")
    error, hint = done.stderr.splitlines()
    assert done.returncode == 2
    assert error.startswith("error: [INVALID_ARGUMENTS] The new key file would be inside the project")
    assert hint == "hint: Choose a path outside the project and its git work tree."
    assert not (project / "new.key").exists()


def test_the_hint_of_a_new_recovery_code_works_without_a_keyring(tmp_path: Path, keyring_session: RealKeyring) -> None:
    machine = Machine(tmp_path).use_key_file()
    hint = machine.run("recover", "create").stderr
    assert hint.endswith(" recover use --key-file NEW_PATH\n")
    other = Machine(tmp_path / "other")
    other.environment |= keyring_session.environment
    other.run("set", "T", stdin="v")
    assert other.run("recover", "create").stderr.endswith(" recover use\n")


def test_agents_do_not_see_where_the_key_file_is(lost: tuple[Machine, str]) -> None:
    machine, _ = lost
    with machine.server(machine.project("api")) as server:
        shown = str(server.call("get_secret", name="T"))
    assert ("KEY_MISSING" in shown, str(machine.key_file) in shown, "backup" in shown) == (True, False, False)
    person = machine.run("get", "T")
    assert f"back at {machine.key_file}. Or open the store with its recovery code:" in person.stderr
    assert " doctor" not in person.stderr


@pytest.mark.parametrize("opens", [True, False])
def test_doctor_gives_the_hint_that_fits_the_fault(two_files: Machine, *, opens: bool) -> None:
    machine, second = two_files, two_files.home / "second.key"
    if not opens:
        machine.run("recover", "create")
        machine.key_file.unlink()
    second.chmod(0o644)
    shown = machine.run("doctor").stdout
    assert f"Make it readable only by you: chmod 600 {second}" in shown
    assert ("once the store opens" in shown, f"back at {second}" in shown) == (False, False)


def test_recovering_names_the_slots_whose_keys_are_lost_and_no_others(lost: tuple[Machine, str]) -> None:
    machine, code = lost
    (dead,) = (slot.slot_id for slot in unverified_slots(machine) if slot.kind == FILE)
    done = machine.run("recover", "use", "--key-file", str(machine.home / "one.key"), stdin=code)
    assert done.stderr.startswith("hint: if the key of this slot is permanently lost: ")
    assert done.stderr.endswith(f" key remove {dead}\n")
    machine.run("key", "remove", dead, "--yes")
    done = machine.run("recover", "use", "--key-file", str(machine.home / "two.key"), stdin=code)
    assert (done.returncode, done.stderr) == (0, "")


def test_doctor_says_once_what_is_wrong_with_a_key(two_files: Machine) -> None:
    machine, second = two_files, two_files.home / "second.key"
    second.write_bytes(b"A" * 43 + b"=\n")
    (slot,) = (slot.slot_id for slot in unverified_slots(machine) if slot.key_file == second)
    assert (
        told(machine)[1][0] == f"Key slot {slot} (key file {second}): The key in the key file does not open this store."
    )
    machine.run("recover", "create")
    machine.key_file.unlink()
    second.unlink()
    shown = machine.run("doctor").stdout
    assert "The store has only one key: recovery code (not tried)." in shown
    assert ("recover create" in shown, "recover use --key-file NEW_PATH" in shown) == (False, True)


def unverified_slots(machine: Machine) -> list[Slot]:
    with closing(Store(machine.store, Custody(environment={}), lambda: 0.0)) as store:
        return store.slots()


# Two slots with one key file


@pytest.fixture(name="lost")
def machine_with_lost_key_file(tmp_path: Path) -> tuple[Machine, str]:
    """Return a machine whose key file is lost, and the store's recovery code."""
    machine = Machine(tmp_path).use_key_file()
    machine.keep("T", "value")
    code = machine.run("recover", "create").stdout
    machine.key_file.unlink()
    return machine, code


def slots_of(machine: Machine) -> dict[str, str]:
    listed = json.loads(machine.run("key", "list", "--json").stdout)
    return {each["slot"]: each["kind"] for each in listed}


def test_recovering_into_the_path_of_the_lost_key_file_replaces_its_slot(lost: tuple[Machine, str]) -> None:
    machine, code = lost
    done = machine.run("recover", "use", "--key-file", str(machine.key_file), stdin=code)
    assert (done.returncode, "whose key file at this path was lost" in done.stdout) == (0, True), done.stderr
    assert sorted(slots_of(machine).values()) == ["key file", "recovery code"]
    assert told(machine)[0] == ["ok"]
    assert machine.run("get", "T").stdout == "value"


def test_adding_a_key_file_at_the_path_of_a_lost_one_replaces_its_slot(world: World) -> None:
    other = world.root / "keys" / "other.key"
    lost = keys.add_file(world.person(), other)
    other.unlink()
    (world.root / "way").symlink_to(other.parent)  # another spelling of the same path
    new = keys.add_file(world.person(), world.root / "way" / "other.key")
    slots = [info.slot.slot_id for info in keys.list_keys(world.person())]
    assert (lost.slot_id in slots, new.slot_id in slots, len(slots)) == (False, True, 2)


def test_a_slot_whose_key_is_in_the_file_that_the_environment_names_is_not_replaced(world: World) -> None:
    moved = world.root / "keys" / "moved.key"
    world.key_file.rename(moved)
    custody = Custody(environment={"CLAUDE_SECRETS_KEY_FILE": str(moved)})
    with closing(Store(world.path, custody, lambda: world.time)) as store:
        keys.add_file(Person(store=store), world.key_file)
    assert kinds_of_rows(world) == [FILE, FILE]


def test_a_process_that_was_killed_before_it_replaced_the_slot_is_made_up_for(world: World) -> None:
    person = world.person()
    data_key, (lost,) = person.store.fetch_key(), [info.slot for info in keys.list_keys(person)]
    world.key_file.unlink()
    store_id = keys.identity_of(person).store_id
    new = person.store.custody.new_file_slot(store_id, data_key, world.key_file, store=world.path)
    keys.record_and_place(person, [new], data_key)  # and killed
    keys.clear_away(world.person())
    (found,) = keys.list_keys(world.person())
    assert (found.slot, found.failure) == (new.slot, None)
    assert found.slot.slot_id != lost.slot_id
    assert value(world.person()) == "value"


def two_slots_with_one_file(machine: Machine) -> tuple[str, str]:
    """Return the ids of a slot that lost its key, and of a slot whose key is in the same file."""
    second = machine.home / "second.key"
    ids = slots_of(machine)
    machine.run("key", "add-file", str(second))
    (dead,) = slots_of(machine).keys() - ids.keys()
    opened = Store(machine.store, Custody(environment=machine.environment), lambda: 0.0)
    with closing(opened) as store, store.write() as tx:
        (slot,) = (slot for slot in key_slots.list_all(tx) if slot.slot_id == dead)
        key_slots.change(tx, slot, slot._replace(params=json.dumps({"path": str(machine.key_file)})))
    second.unlink()
    return dead, next(iter(ids))


def test_a_key_file_that_another_slot_needs_is_never_to_be_deleted(tmp_path: Path) -> None:
    machine = Machine(tmp_path).use_key_file()
    dead, living = two_slots_with_one_file(machine)
    doctor = machine.run("doctor").stdout
    assert f"Its key is not in this file, which key slot {living} uses, too." in doctor
    if sys.platform != "win32":
        from tests.support.terminals import on_a_terminal

        shown = on_a_terminal(machine, ["key", "remove", dead], machine.home, [("[y/N]", "n\n")])[1].replace(
            "\r\n", " "
        )
        assert f"The file stays: key slot {living} uses it, too." in " ".join(shown.split())
    done = machine.run("key", "remove", dead, "--yes")
    assert f"keep the file {machine.key_file}: key slot {living} uses it, too" in done.stderr
    assert "if no store does" not in done.stderr
    assert done.returncode == 0


def test_a_key_file_for_every_slot_is_never_to_be_deleted(two_files: Machine) -> None:
    machine, named = two_files, {"CLAUDE_SECRETS_KEY_FILE": str(two_files.key_file)}
    for slot in slots_of(machine):
        done = machine.run("key", "remove", slot, "--yes", environment=named)
        assert (done.returncode, "if no store does" in done.stderr) in ((0, False), (2, False)), done.stderr
    assert machine.run("get", "NONE").returncode == 1  # the store still opens


def test_only_a_key_file_that_opened_the_removed_slot_may_be_deleted(two_files: Machine) -> None:
    machine, second = two_files, two_files.home / "second.key"
    slot = next(
        each["slot"] for each in json.loads(machine.run("key", "list", "--json").stdout) if each["file"] == str(second)
    )
    key = second.read_bytes()
    second.write_bytes(b"A" * 43 + b"=\n")  # the key of another store
    assert "if no store does" not in machine.run("key", "remove", slot, "--yes").stderr
    second.write_bytes(key)
    machine.run("key", "add-file", str(machine.home / "third.key"))
    slot = next(
        each["slot"]
        for each in json.loads(machine.run("key", "list", "--json").stdout)
        if each["file"] == str(machine.home / "third.key")
    )
    assert f"if no store does: rm {machine.home / 'third.key'}" in machine.run("key", "remove", slot, "--yes").stderr


# Reports of `doctor` and `key list` on the keys


def told(machine: Machine, *words: str, stdin: str | None = None) -> tuple[list[str], list[str]]:
    """Return the states and messages that `doctor` reports about keys."""
    done = machine.run(*words, "doctor", "--json", stdin=stdin)
    found = [each for each in json.loads(done.stdout) if each["about"] == "key"]
    return [each["state"] for each in found], [each["message"] for each in found]


@pytest.fixture
def two_files(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path).use_key_file()
    assert machine.run("key", "add-file", str(machine.home / "second.key")).returncode == 0
    return machine


def test_keys_that_open_are_counted_and_not_slots(two_files: Machine) -> None:
    machine, second = two_files, two_files.home / "second.key"
    assert told(machine) == (["ok"], ["The store has 2 keys: key file, key file."])
    key = second.read_bytes()
    faults: dict[str, tuple[Callable[[], object], str]] = {
        "gone": (second.unlink, "is missing"),
        "another": (lambda: second.write_bytes(b"A" * 43 + b"=\n"), "does not open this store"),
        "open to others": (lambda: second.chmod(0o644), "Others can read"),
    }
    for meddle, why in faults.values():
        meddle()
        states, messages = told(machine)
        assert states == ["warn", "warn"]
        assert (str(second) in messages[0], why in messages[0]) == (True, True), messages
        assert messages[1] == "The store has only one key: key file."
        listed = machine.run("key", "list")
        assert (why in listed.stdout, "if you lose that key" in listed.stderr) == (True, True)
        second.write_bytes(key)
        second.chmod(0o600)
    machine.key_file.unlink()
    second.unlink()
    states, messages = told(machine)
    assert states == ["warn", "warn", "fail"]
    assert [str(machine.key_file) in line or str(second) in line for line in messages] == [True, True, False]


def test_a_passphrase_that_nobody_typed_counts_and_is_said_to_be_untried(two_files: Machine) -> None:
    machine = two_files
    machine.run("key", "add-passphrase", "--new-passphrase-fd", "0", stdin=WORDS)
    (machine.home / "second.key").unlink()
    states, messages = told(machine)
    assert (states, messages[1]) == (["warn", "ok"], "The store has 2 keys: key file, passphrase (not tried).")
    assert "not tried" in machine.run("key", "list").stdout
    machine.key_file.unlink()
    states, messages = told(machine, "--passphrase-fd", "0", stdin=WORDS)
    assert (states, messages[2]) == (["warn"] * 3, "The store has only one key: passphrase.")
    states, messages = told(machine)
    assert (states[-2:], messages[-1]) == (["fail", "warn"], "The store has only one key: passphrase (not tried).")


def test_a_locked_keyring_does_not_count_now(tmp_path: Path, keyring_session: RealKeyring) -> None:
    machine = Machine(tmp_path)
    machine.environment |= keyring_session.environment
    machine.run("set", "T", stdin="v")
    machine.run("key", "add-file", str(machine.home / "second.key"))
    assert told(machine)[0] == ["ok"]
    keyring_session.lock()
    states, messages = told(machine)
    assert (states, "(keyring): The system's keyring is locked" in messages[0]) == (["warn", "warn"], True)
    assert messages[1] == "The store has only one key: key file."


@pytest.mark.parametrize("state", [State.COMING, State.LEAVING])
def test_a_key_that_is_coming_or_leaving_does_not_count(two_files: Machine, state: State) -> None:
    machine = two_files
    with closing(Store(machine.store, Custody(environment={}), lambda: 1.0)) as store:
        (slot,) = (slot for slot in store.slots() if "second" in slot.params)
        with store.write() as tx:
            key_slots.change(tx, slot, slot.moved(state))
    states, messages = told(machine)
    assert (states, "is incomplete" in messages[0]) == (["warn", "warn"], True)
    assert messages[1] == "The store has only one key: key file."
    machine.run("key", "list")
    assert told(machine) == (["warn"], ["The store has only one key: key file."])
