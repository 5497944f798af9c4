"""After `key rotate --data`, keys that a thief copied earlier open nothing, and all of the person's new keys work."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from claude_secrets.errors import CallerError, Code, CustodyError, StoreError
from claude_secrets.keys import key_change, key_file, recovery_code
from claude_secrets.keys.cipher import Cipher, EnvelopeMismatch, StoreIdentity, TokenInvalid
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.key_file import HeldKey
from claude_secrets.keys.slot import FILE, KEYRING, PASSPHRASE
from claude_secrets.model import Access
from claude_secrets.person import inspection, keys, log, rotation, secrets, trust
from claude_secrets.person.person import Person
from claude_secrets.store import key_slots, records
from claude_secrets.store.store import Store
from tests.person.test_backups import stated
from tests.person.test_keys import rotated, value
from tests.support import sqlite_attacker as attacker
from tests.support.keyrings import RealKeyring
from tests.support.machine import PROGRAM, Machine
from tests.support.posix import is_root, user
from tests.support.requirements import require, require_real
from tests.support.rounds import rounds
from tests.support.store_world import Agent, World
from tests.support.terminals import Bash

OLD = "five parrots juggle quartz lemons"
NEW = "seven otters iron velvet ladders"
KINDS = (KEYRING, FILE, PASSPHRASE, "code")
COMBINATIONS = [found for size in range(1, 5) for found in itertools.combinations(KINDS, size) if found != ("code",)]

root_only = pytest.mark.skipif(not is_root(), reason="mounts take root")


class Owner:
    """A person whose store several kinds of keys open, and a thief who has a copy of every key."""

    def __init__(self, root: Path, kinds: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self.root, self.kinds, self.environment = root, kinds, dict(environment)
        self.path, self.key_file = root / "data" / "secrets.db", root / "keys" / "k"
        self.key_file.parent.mkdir()
        self.words, self.code = OLD, ""
        self._make()

    def _make(self) -> None:
        with closing(self.store(ask=OLD)) as store:
            if KEYRING not in self.kinds:
                if FILE in self.kinds:
                    store.create_with_key_file(self.key_file)
                else:
                    store.create_with_passphrase(OLD)
            person = Person(store=store)
            secrets.set_value(person, "T", "value")
            if FILE in self.kinds and KEYRING in self.kinds:
                keys.add_file(person, self.key_file)
            if PASSPHRASE in self.kinds and not {KEYRING, FILE}.isdisjoint(self.kinds):
                keys.add_passphrase(person, OLD)
            if "code" in self.kinds:
                self.code = keys.create_code(person, replacing=False)

    def store(self, *, ask: str | None = None, environment: Mapping[str, str] | None = None) -> Store:
        given = self.environment if environment is None else environment
        custody = Custody(environment=dict(given), ask_passphrase=None if ask is None else (lambda: ask))
        return Store(self.path, custody, lambda: 1_800_000_000.0)

    def rotate(self) -> None:
        with closing(self.store(ask=self.words)) as store:
            person = Person(store=store)
            found, fixed = rotation.prepare(person)
            assert fixed == []
            self.code = recovery_code.new_code()
            new = {slot.slot_id: NEW for slot in found if slot.kind == PASSPHRASE and not slot.is_recovery}
            rotation.replace_every_key(person, found, [], passphrases=new, code=self.code, progress=lambda *_: None)
            self.words = NEW
            assert not keys.unfinished(person)
            assert value(person) == "value"


def opens(store: Store, code: str | None = None) -> bool:
    with closing(store):
        try:
            if code is not None:
                store.unlock_with_code(code)
            return value(Person(store=store)) == "value"
        except CustodyError:
            return False


def nowhere(root: Path) -> dict[str, str]:
    """Return the environment of a machine without a keyring."""
    return {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={root / 'nobody'}", "XDG_RUNTIME_DIR": str(root)}


@pytest.fixture
def emptied(keyring: RealKeyring) -> Iterator[RealKeyring]:
    yield keyring
    for entry in keyring.entries():
        keyring.remove(entry)


@pytest.mark.parametrize("kinds", COMBINATIONS, ids="+".join)
def test_what_a_thief_copied_opens_nothing_and_each_new_key_opens_all(
    tmp_path: Path, emptied: RealKeyring, kinds: tuple[str, ...]
) -> None:
    owner = Owner(tmp_path, kinds, emptied.environment)
    copy, entries, code = tmp_path / "copied.key", emptied.entries(), owner.code
    with_file, alone = {"CLAUDE_SECRETS_KEY_FILE": str(copy), **nowhere(tmp_path)}, nowhere(tmp_path)
    if FILE in kinds:
        shutil.copy(owner.key_file, copy)
    old_store = tmp_path / "old.db"
    shutil.copyfile(owner.path, old_store)

    def thief() -> dict[str, bool]:
        """Return, for each kind of stolen key, whether it opens the store by itself."""
        found = {
            KEYRING: opens(owner.store()),
            FILE: opens(owner.store(environment=with_file)),
            PASSPHRASE: opens(owner.store(ask=OLD, environment=alone)),
            "code": opens(owner.store(environment=alone), code) if code else False,
        }
        return {kind: by for kind, by in found.items() if kind in kinds}

    if FILE in kinds:
        owner.key_file.rename(tmp_path / "away")  # so that only the copied file can open the store
    assert thief() == dict.fromkeys(kinds, True)
    if FILE in kinds:
        (tmp_path / "away").rename(owner.key_file)
    owner.rotate()

    fresh = emptied.entries()
    assert len(fresh) == (KEYRING in kinds)
    assert not {*fresh.values()} & {*entries.values()}
    if FILE in kinds:
        assert opens(owner.store(environment=alone))
        assert len(key_file.read_keys(owner.key_file)) == 1
        assert [path.name for path in owner.key_file.parent.iterdir()] == ["k"]
        owner.key_file.rename(tmp_path / "away")
    assert KEYRING not in kinds or opens(owner.store())
    assert PASSPHRASE not in kinds or opens(owner.store(ask=NEW, environment=alone))
    assert "code" not in kinds or opens(owner.store(environment=alone), owner.code)
    for entry in fresh:  # the thief puts the old key into every entry
        emptied.remove(entry)
        for old in entries.values():
            emptied.put(entry, old)
    for entry, old in entries.items():
        emptied.put(entry, old)
    assert thief() == dict.fromkeys(kinds, False)
    assert every_slot_resists(owner, [*entries.values(), *([copy.read_text().strip()] if FILE in kinds else [])], code)
    owner.path = old_store  # old keys still open an old store file: this is documented, not prevented
    assert FILE not in kinds or thief()[FILE]
    assert PASSPHRASE not in kinds or thief()[PASSPHRASE]


def every_slot_resists(owner: Owner, stolen: list[str], code: str) -> bool:
    """Return whether every slot of the store resists all stolen keys."""
    with closing(owner.store()) as store:
        custody, found = store.custody, store.slots()
    with attacker.attacker(owner.path) as connection:
        store_id, last = connection.execute("SELECT store_id, generation FROM store").fetchone()
    identities = [StoreIdentity(store_id, generation) for generation in range(1, last + 1)]
    for slot in found:
        masters = [text.encode() for text in stolen]
        if slot.kind == PASSPHRASE:
            masters += [slot.stretching.master_key(text) for text in (OLD, code)]
        if any(custody.opens(identity, slot, master) for identity in identities for master in masters):
            return False
    return True


# Unchanged by a rotation


@pytest.fixture(name="world")
def world_with_secret(world: World) -> World:
    secrets.set_value(world.person(), "T", "value")
    return world


def every_token(world: World) -> dict[str, list[bytes]]:
    tables = {"versions": "token", "records": "head", "grants": "token", "audit": "token", "key_slots": "wrapped"}
    with attacker.attacker(world.path) as connection:
        return {t: [row[0] for row in connection.execute(f"SELECT {c} FROM {t}")] for t, c in tables.items()}


def test_replacing_the_data_key_keeps_everything_and_changes_every_row(world: World) -> None:
    api = world.project("api")
    for text in ("second", "third"):
        secrets.set_value(world.person(), "T", text)
    secrets.set_value(world.person(api), "GUARDED", "g", Access.USE_ONLY, expires=2_000_000_000)
    secrets.set_value(world.person(), "GONE", "was here")
    secrets.delete(world.person(), "GONE")
    trust.allow(world.person(api), "T")
    Agent(world, api).set("OF_AGENT", "a")
    keys.add_passphrase(world.person(), OLD)
    running = world.gate()
    agent = Agent(world, api)
    agent.gate = running
    assert agent.get("T") == "third"
    before, granted, tokens = stated(world.store()), trust.list_grants(world.person()), every_token(world)
    events = [(entry.sequence, entry.event) for entry in log.entries(world.person(), lambda _: True)]
    old_key = world.store().fetch_key()
    person = world.person()
    told: list[tuple[int, int]] = []
    found, fixed = rotation.prepare(person)
    assert fixed == []
    new = {slot.slot_id: NEW for slot in found if slot.kind == PASSPHRASE}
    tell = lambda done, total: told.append((done, total))  # noqa: E731
    rotation.replace_every_key(person, found, [], passphrases=new, code="", progress=tell)
    assert told[-1][0] == told[-1][1] == len(told)
    assert stated(world.store()) == before
    assert trust.list_grants(world.person()) == granted
    assert [(entry.sequence, entry.event) for entry in log.entries(world.person(), lambda _: True)][
        : len(events)
    ] == events
    log.verify_log(world.person())
    inspection.check_store(world.person())
    after = every_token(world)
    cipher = Cipher(_store_id(world), old_key)
    for table, rows in after.items():
        assert not set(rows) & set(tokens[table])
        for token in rows if table != "key_slots" else []:
            with pytest.raises((TokenInvalid, EnvelopeMismatch)):
                cipher.open("version", "anything", token)
    assert not any(token in world.stored_bytes() for found in tokens.values() for token in found)
    # A server that has the old key in memory goes on.
    assert agent.get("T") == "third"
    agent.set("T2", "after")
    custody = Custody(environment={}, ask_passphrase=lambda: NEW)
    world.key_file.unlink()
    with closing(Store(world.path, custody, lambda: world.time)) as store:
        assert secrets.get_value(Person(store=store), "T2", warn=pytest.fail) == "after"


def _store_id(world: World) -> str:
    with world.store().read() as tx:
        return tx.cipher.store_id


def test_a_damaged_store_is_not_sealed_anew(world: World) -> None:
    world.close()
    with attacker.attacker(world.path) as connection:
        connection.execute("UPDATE versions SET token = x'00'")
    before = world.path.read_bytes()
    with pytest.raises(StoreError, match="STORE_TAMPERED"):
        rotated(world.person())
    world.close()
    assert world.path.read_bytes() == before


def test_versions_stay_restorable_under_the_new_key(world: World) -> None:
    secrets.set_value(world.person(), "T", "second")
    rotated(world.person())
    with world.store().write() as tx:
        record = records.find(tx, "shared", "T")
        assert record is not None
        records.restore(tx, record, 1)
    assert value(world.person()) == "value"


# Keys that cannot be replaced


def test_a_slot_whose_key_is_not_here_is_lost_only_if_that_was_said(world: World) -> None:
    other = keys.add_file(world.person(), world.root / "keys" / "other.key")
    (world.root / "keys" / "other.key").unlink()
    person = world.person()
    found, fixed = rotation.prepare(person)
    assert [(each.slot, each.failure.code) for each in fixed] == [(other, Code.KEY_MISSING)]
    before = (every_token(world), world.key_file.read_bytes())
    with pytest.raises(CustodyError):
        rotation.replace_every_key(person, found, [], passphrases={}, code="", progress=lambda *_: None)
    world.close()
    assert (every_token(world), world.key_file.read_bytes()) == before
    rotation.replace_every_key(world.person(), found, [other], passphrases={}, code="", progress=lambda *_: None)
    assert [info.slot.kind for info in keys.list_keys(world.person())] == [FILE]
    assert value(world.person()) == "value"


def test_the_last_key_is_never_given_up(world: World) -> None:
    keys.add_passphrase(world.person(), OLD)
    person = world.person()
    found, _ = rotation.prepare(person)
    before = every_token(world)
    with pytest.raises(CallerError) as caught:
        rotation.replace_every_key(person, found, found, passphrases={}, code="", progress=lambda *_: None)
    assert caught.value.code is Code.INVALID_ARGUMENTS
    assert every_token(world) == before


def test_slots_that_changed_since_they_were_shown_are_not_rotated(world: World) -> None:
    person = world.person()
    found, _ = rotation.prepare(person)
    keys.add_passphrase(world.person(), OLD)
    before = (every_token(world), world.key_file.read_bytes())
    with pytest.raises(StoreError) as caught:
        rotation.replace_every_key(person, found, [], passphrases={}, code="", progress=lambda *_: None)
    assert caught.value.code is Code.STORE_BUSY
    assert (every_token(world), world.key_file.read_bytes()) == before


def test_the_passphrase_or_code_that_opens_the_store_is_no_new_one(world: World) -> None:
    keys.add_passphrase(world.person(), OLD)
    code = keys.create_code(world.person(), replacing=False)
    person = world.person()
    found, _ = rotation.prepare(person)
    for same in (OLD, code):
        with pytest.raises(CallerError) as caught:
            rotation.check_new(person, found, same)
        assert caught.value.code is Code.INVALID_VALUE
        assert same not in caught.value.message + str(caught.value.hint)
    assert rotation.check_new(person, found, NEW) == NEW


def test_a_locked_keyring_changes_nothing(tmp_path: Path, keyring_session: RealKeyring) -> None:
    owner = Owner(tmp_path, (KEYRING, FILE), keyring_session.environment)
    keyring_session.lock()
    with closing(owner.store()) as store:
        person = Person(store=store)
        found, fixed = rotation.prepare(person)
        assert [(each.slot.kind, each.failure.code) for each in fixed] == [(KEYRING, Code.KEYRING_LOCKED)]
        before = owner.key_file.read_bytes()
        with pytest.raises(CustodyError, match="KEYRING_LOCKED"):
            rotation.replace_every_key(person, found, [], passphrases={}, code="", progress=lambda *_: None)
        assert owner.key_file.read_bytes() == before
        found, _ = rotation.prepare(person)  # the unfinished new key also needs the keyring
        lost = [slot for slot in found if slot.kind == KEYRING]
        rotation.replace_every_key(person, found, lost, passphrases={}, code="", progress=lambda *_: None)
        assert value(person) == "value"
    # A lost key is deleted from the keyring as soon as possible; until then it opens nothing.
    with closing(owner.store()) as store:
        assert sorted({slot.wrapped for slot in store.slots() if slot.kind == KEYRING}) == [b""]


# The key file


def test_a_key_file_keeps_its_owner_and_mode_and_is_never_without_a_key(world: World) -> None:
    world.key_file.chmod(0o400)
    before = world.key_file.read_bytes()
    rotated(world.person())
    status = world.key_file.stat()
    assert (status.st_mode & 0o777, status.st_uid) == (0o400, user())
    assert world.key_file.read_bytes() != before
    assert value(world.person()) == "value"


def test_a_key_that_another_store_is_changing_to_is_left_alone(world: World, tmp_path: Path) -> None:
    """Two stores share a key file. A key change of the first store is interrupted; then the second store tidies up."""
    environment = {"CLAUDE_SECRETS_KEY_FILE": str(world.key_file)}
    with closing(Store(tmp_path / "second" / "s.db", Custody(environment=environment), lambda: 1.0)) as second:
        secrets.set_value(Person(store=second), "T", "of the second")
        found, store_id = second.slots(), keys.identity_of(Person(store=second)).store_id
        with second.write() as tx:
            key_slots.change(tx, found[0], key_change.begin(second.custody, store_id, found[0], second.fetch_key()))
        both = world.key_file.read_bytes()
        assert [key.coming_for for key in key_file.read_keys(world.key_file)] == ["", store_id]
        keys.clear_away(world.person())
        assert world.key_file.read_bytes() == both
        assert value(world.person()) == "value"
        rotated(world.person())
        assert [key.coming_for for key in key_file.read_keys(world.key_file)] == ["", store_id, ""]
        assert value(world.person()) == "value"
        keys.clear_away(Person(store=second))
        assert value(Person(store=second)) == "of the second"
    assert len(key_file.read_keys(world.key_file)) == 1


def test_a_key_file_that_is_being_changed_is_not_taken_for_a_new_store(world: World, tmp_path: Path) -> None:
    held = key_file.read_keys(world.key_file)
    key_file.replace(world.key_file, [*held, HeldKey(held[0].master_key, "another")], "another")
    environment = {"CLAUDE_SECRETS_KEY_FILE": str(world.key_file)}
    with closing(Store(tmp_path / "second" / "s.db", Custody(environment=environment), lambda: 1.0)) as second:
        with pytest.raises(CustodyError, match="KEY_WRONG"):
            secrets.set_value(Person(store=second), "T", "v")
        assert not second.exists()


# On the command line


@pytest.fixture(name="machine")
def machine_with_passphrase(machine: Machine) -> Machine:
    """A store that a key file, a passphrase and a recovery code open."""
    machine.keep("T", "value")
    with owner_of(machine) as person:
        keys.add_passphrase(person, OLD)
    return machine


@contextmanager
def owner_of(machine: Machine) -> Iterator[Person]:
    """Use the machine's store in the test's own process, as the person."""
    with closing(Store(machine.store, Custody(environment=machine.environment), time.time)) as store:
        yield Person(store=store)


def code_of(machine: Machine) -> str:
    with owner_of(machine) as person:
        return keys.create_code(person, replacing=False)


def test_a_thief_at_the_command_line_gets_nothing(machine: Machine) -> None:
    code, copy, recovered = code_of(machine), machine.home / "copied.key", str(machine.home / "recovered.key")
    shutil.copy(machine.key_file, copy)
    with_copy = {"CLAUDE_SECRETS_KEY_FILE": str(copy)}
    nothing = {"CLAUDE_SECRETS_KEY_FILE": str(machine.home / "no.key")}
    assert machine.run("get", "T", environment=with_copy).stdout == "value"
    assert machine.run("--passphrase-fd", "0", "get", "T", environment=nothing, stdin=OLD).stdout == "value"

    done = machine.run("key", "rotate", "--data", "--yes", "--new-passphrase-fd", "0", stdin=NEW)
    assert done.returncode == 0, done.stderr
    new_code = done.stdout.splitlines()[0]
    assert recovery_code.read_code(new_code) == new_code != code
    assert [words in done.stderr for words in ("Keep the old code until", "get new values for your secrets")] == [
        True
    ] * 2

    assert machine.run("get", "T", environment=with_copy).returncode == 4
    assert machine.run("--passphrase-fd", "0", "get", "T", environment=nothing, stdin=OLD).returncode == 4
    assert machine.run("recover", "use", "--key-file", recovered, environment=nothing, stdin=code).returncode == 4
    assert not Path(recovered).exists()
    assert machine.run("get", "T").stdout == "value"
    assert machine.run("--passphrase-fd", "0", "get", "T", environment=nothing, stdin=NEW).stdout == "value"
    assert machine.run("recover", "use", "--key-file", recovered, stdin=new_code).returncode == 0


def refused(machine: Machine, *words: str, stdin: str | None = None) -> str:
    """Run a rotation, check that it is refused and changes nothing, and return its messages."""

    def seen() -> object:
        files = {path: path.read_bytes() for path in machine.key_file.parent.iterdir()}
        with owner_of(machine) as person:
            return files, [info.slot for info in keys.list_keys(person)], value(person)

    before = seen()
    done = machine.run("key", "rotate", "--data", *words, stdin=stdin)
    assert (done.returncode != 0, "Traceback" in done.stderr) == (True, False)
    assert seen() == before
    return done.stderr


def test_where_nobody_can_type_a_new_passphrase_it_is_said_how_to_give_one(machine: Machine) -> None:
    assert "--new-passphrase-fd N" in refused(machine, "--yes")
    assert "already opens the store" in refused(machine, "--yes", "--new-passphrase-fd", "0", stdin=OLD)
    assert "INVALID_VALUE" in refused(machine, "--yes", "--new-passphrase-fd", "0", stdin="short")
    assert "--yes" in refused(machine, "--new-passphrase-fd", "0", stdin=NEW)
    with owner_of(machine) as person:
        keys.add_passphrase(person, "tulips borrow nineteen anvils")
    assert "the store has 2" in refused(machine, "--yes", "--new-passphrase-fd", "0", stdin=NEW)


def at_a_terminal(machine: Machine) -> Bash:
    shell = Bash(machine.home, machine.environment)
    shell.run(f'cs() {{ {" ".join(PROGRAM)} "$@"; }}')
    return shell


def test_at_a_terminal_a_new_passphrase_is_typed_twice(machine: Machine) -> None:
    with at_a_terminal(machine) as shell:
        shell.type("cs key rotate --data\n")
        shell.see(", or nothing to remove the slot .*: ")
        shell.type(f"{NEW}\n")
        shell.see(", again .*: ")
        shell.type(f"{NEW}\n")
        shell.see(r"seal every record with the new data key\? \[y/N\] ")
        shell.type("y\n")
        shell.see("Every record is sealed with a new data key")
    nothing = {"CLAUDE_SECRETS_KEY_FILE": str(machine.home / "no.key")}
    for words, code in ((OLD, 4), (NEW, 0)):
        done = machine.run("--passphrase-fd", "0", "get", "T", environment=nothing, stdin=words)
        assert done.returncode == code


def test_at_a_terminal_an_empty_line_gives_the_passphrase_up_and_no_is_no(machine: Machine) -> None:
    with at_a_terminal(machine) as shell:
        for answer in ("n", "y"):
            shell.type("cs key rotate --data\n")
            shell.see(", or nothing to remove the slot .*: ")
            shell.type("\n")
            shell.see("will be removed")
            shell.see(r"seal every record with the new data key\? \[y/N\] ")
            shell.type(f"{answer}\n")
            shell.see("Nothing was changed" if answer == "n" else "Every record is sealed")
            kinds = re.findall(r'"kind": "(.*)"', machine.run("key", "list", "--json").stdout)
            assert sorted(kinds) == (["key file", "passphrase"] if answer == "n" else ["key file"])


def test_a_key_file_that_cannot_be_replaced_is_named_and_kept_unless_it_is_given_up(machine: Machine) -> None:
    machine.key_file.parent.chmod(0o500)
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"] if is_root() else []
    if bound:
        require("setpriv")

    def rotate(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*bound, *PROGRAM, "key", "rotate", "--data", "--new-passphrase-fd", "0", *words],
            input=NEW,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            cwd=machine.home,
            env=machine.environment,
            check=False,
        )

    before = machine.key_file.read_bytes()
    done = rotate()
    assert (done.returncode, str(machine.key_file) in done.stderr, "read-only" in done.stderr) == (2, True, True)
    assert machine.run("get", "T").stdout == "value"
    assert rotate("--yes").returncode == 0
    assert machine.key_file.read_bytes() == before
    assert machine.run("get", "T").returncode == 4
    assert machine.run("--passphrase-fd", "0", "get", "T", stdin=NEW).stdout == "value"
    machine.key_file.parent.chmod(0o700)


@root_only
@pytest.mark.parametrize("kind", ["of another file system", "of the same one", "a link"])
def test_a_key_file_in_whose_place_nothing_can_be_put_loses_nothing(machine: Machine, kind: str) -> None:
    source = Path("/dev/shm" if kind == "of another file system" else machine.home) / f"key-{os.getpid()}"
    shutil.move(machine.key_file, source)
    try:
        if kind == "a link":
            machine.key_file.symlink_to(source)
        else:
            machine.key_file.touch()
            mounted = subprocess.run(["mount", "--bind", source, machine.key_file], check=False)
            require_real(mounted.returncode == 0, "a bind mount")
        before = source.read_bytes()
        machine.run("key", "list")
        done = machine.run("key", "rotate", "--data", "--new-passphrase-fd", "0", stdin=NEW)
        assert done.returncode != 0
        if kind == "of the same one":  # the program finds this only after its questions
            done = machine.run("key", "rotate", "--data", "--yes", "--new-passphrase-fd", "0", stdin=NEW)
            assert (done.returncode, "cannot be replaced" in done.stderr) == (4, True)
        assert source.read_bytes() == before
        assert machine.run("--passphrase-fd", "0", "get", "T", stdin=OLD).stdout == "value"
    finally:
        subprocess.run(["umount", machine.key_file], capture_output=True, check=False)
        source.unlink()


def test_two_at_once_leave_one_key_that_opens_the_store(machine: Machine) -> None:
    slot = re.search(r"^(\w+) +passphrase", machine.run("key", "list").stdout, re.MULTILINE)
    assert slot is not None
    assert machine.run("key", "remove", slot[1], "--yes").returncode == 0
    for _ in range(rounds(2, 5)):
        words = [*PROGRAM, "key", "rotate", "--data", "--yes"]
        at = {"cwd": machine.home, "env": machine.environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        both = [subprocess.Popen(words, stdin=subprocess.DEVNULL, **at) for _ in range(2)]  # type: ignore[call-overload]
        said = [process.communicate(timeout=60)[1].decode() for process in both]
        assert 0 in {process.returncode for process in both}, said
        assert not any("Traceback" in each for each in said)
        assert machine.run("get", "T").stdout == "value"
    assert len(key_file.read_keys(machine.key_file)) == 1
    assert [path.name for path in machine.key_file.parent.iterdir()] == [machine.key_file.name]


@pytest.mark.parametrize("committed", [False, True])
def test_when_it_fails_it_is_said_which_recovery_code_counts(machine: Machine, committed: bool) -> None:
    code = code_of(machine)
    script = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from claude_secrets.person import rotation\n"
        "from claude_secrets.store.store import Store\nfrom tests.support import program\n"
        "def fail(*_): raise KeyboardInterrupt\n"
        + ("Store.scrub = fail\n" if committed else "rotation.replace_data_key = fail\n")
        + "program.main()"
    )
    words = ["key", "rotate", "--data", "--yes", "--new-passphrase-fd", "0"]
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parents[2]), *words],
        input=NEW,
        capture_output=True,
        encoding="utf-8",
        cwd=machine.home,
        env=machine.environment,
        check=False,
        timeout=60,
    )
    assert done.returncode == 130, done.stderr
    shown = done.stdout.strip()
    says = ["the new recovery code is valid" in done.stderr, "the old recovery code is still valid" in done.stderr]
    assert says == [committed, not committed]
    for text, counts in ((code, not committed), (shown, committed)):
        path = str(machine.home / f"{counts}.key")
        assert (machine.run("recover", "use", "--key-file", path, stdin=text).returncode == 0) == counts


def test_a_server_that_a_key_file_opened_goes_on(machine: Machine) -> None:
    project = machine.project("api")
    with machine.server(project) as server:
        server.text("set_secret", name="S", value="v")
        done = machine.run("key", "rotate", "--data", "--yes", "--new-passphrase-fd", "0", stdin=NEW)
        assert done.returncode == 0, done.stderr
        assert server.text("get_secret", name="S") == "v"
