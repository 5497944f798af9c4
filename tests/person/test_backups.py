"""Backups are consistent and sealed. A backup can be made of a damaged store, and restored on another machine."""

import os
import random
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import pytest

from claude_secrets.errors import CallerError, Code, CustodyError, SecretsError, StoreError
from claude_secrets.keys.custody import Custody
from claude_secrets.model import PERSON, SHARED, Access, EnteredBy
from claude_secrets.person import backups, history, inspection, log, secrets, trust
from claude_secrets.person.backups import BackupContents
from claude_secrets.person.inspection import damages
from claude_secrets.person.person import Person
from claude_secrets.store import records
from claude_secrets.store.store import Store
from tests.support import sqlite_attacker as attacker
from tests.support.machine import DEADLINE
from tests.support.store_world import Agent, World

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def full(world: World) -> World:
    """A store with a history: versions, deletions, scopes, access, expiry, agents, grants."""
    api = world.project("api")
    for value in ("first", "second\nline", "third 🔑"):
        secrets.set_value(world.person(), "T", value)
    secrets.set_value(world.person(api), "GUARDED", "g", Access.USE_ONLY, expires=2_000_000_000)
    secrets.set_value(world.person(scope="acme"), "T", "of acme")
    Agent(world, api).set("OF_AGENT", "a")
    secrets.set_value(world.person(), "GONE", "was here")
    secrets.delete(world.person(), "GONE")
    trust.allow(world.person(api), "T")
    return world


def quietly(_done: int, _total: int) -> None:
    pass


def make(world: World, name: str = "backup") -> tuple[Path, BackupContents]:
    path = world.root / name
    return path, backups.make(world.person(), path, PASSPHRASE, quietly)


def stated(store: Store) -> list[tuple[object, ...]]:
    """Return everything that a backup must contain: each version with its value."""
    found = []
    with store.read() as tx:
        for record in records.verify_all(tx)[0]:
            rows = [
                (
                    number,
                    sorted((k, str(v)) for k, v in e.fields.items() if k in {"created", "entered_by", "deleted"}),
                    e.payload,
                )
                for number, e in records.rows(tx, record)
            ]
            about = (record.scope, record.name, record.origin, record.access, record.version, record.deleted)
            found.append((*about, record.expires, record.entered_by, rows))
    return sorted(found, key=str)


def elsewhere(world: World, name: str = "other") -> Person:
    """Return the person on another machine, which has no store."""
    root = world.root / name
    (root / "keys").mkdir(parents=True)
    custody = Custody(environment={"CLAUDE_SECRETS_KEY_FILE": str(root / "keys" / "k")})
    store = Store(root / "data" / "secrets.db", custody, lambda: world.time)
    world._stores.append(store)
    return Person(store=store)


def test_all_comes_back_on_another_machine_and_grants_do_not(full: World) -> None:
    path, contents = make(full)
    assert contents == BackupContents(secrets=5, versions=8)
    assert backups.verify_backup(path, PASSPHRASE) == contents
    other = elsewhere(full)
    assert backups.restore_backup(other, path, PASSPHRASE, quietly) == contents
    assert stated(other.store) == stated(full.store())
    assert (trust.list_grants(full.person()) != [], trust.list_grants(other)) == (True, [])
    assert [entry.event.action for entry in log.entries(other, lambda _: True)] == ["backup restore"]
    inspection.check_store(other)
    assert secrets.get_value(other, "T", warn=pytest.fail) == "third 🔑"
    assert history.restore_version(other, "GONE").earlier.number == 1
    assert secrets.set_value(other, "T", "fourth").version == 4


def test_a_backup_has_no_key_in_common_with_the_store(full: World) -> None:
    path, _ = make(full)
    with closing(sqlite3.connect(full.path)) as one, closing(sqlite3.connect(path)) as two:
        ids = [c.execute("SELECT store_id FROM store").fetchone()[0] for c in (one, two)]
        slots = two.execute("SELECT kind FROM key_slots").fetchall()
        keys = [{row[0] for row in c.execute("SELECT record FROM records")} for c in (one, two)]
        others = [two.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("grants", "counters", "audit")]
    assert (ids[0] != ids[1], slots, keys[0] & keys[1], others) == (True, [("passphrase",)], set(), [0, 0, 0])
    data = path.read_bytes()
    assert not any(word in data for word in (b"third", b"GUARDED", b"acme", b"/api"))
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_but_the_passphrase_opens_it(full: World) -> None:
    path, _ = make(full)
    for secret in ("correct horse battery stable", PASSPHRASE.upper()):
        with pytest.raises(CustodyError) as caught:
            backups.restore_backup(elsewhere(full, secret), path, secret, quietly)
        assert caught.value.code is Code.KEY_WRONG
    assert not (full.root / PASSPHRASE.upper() / "data").exists()


@pytest.mark.parametrize("secret", ["short", "", "aaaaaaaaaaaaaaaa"])
def test_a_poor_passphrase_makes_no_backup(full: World, secret: str) -> None:
    with pytest.raises(CallerError) as caught:
        backups.make(full.person(), full.root / "backup", secret, quietly)
    assert caught.value.code is Code.INVALID_VALUE
    assert not secret or secret not in str(caught.value) + str(caught.value.hint)
    assert not (full.root / "backup").exists()


def test_a_file_that_is_there_is_never_replaced(full: World) -> None:
    (full.root / "mine").write_text("my notes")
    (full.root / "link").symlink_to(full.root / "nothing")
    for name in ("mine", "link"):
        with pytest.raises(CallerError):
            make(full, name)
    assert (full.root / "mine").read_text() == "my notes"
    assert not (full.root / "nothing").exists()


@pytest.mark.parametrize("where", ["no/such/directory/backup", "data"])
def test_a_place_where_none_can_be_made_is_told(full: World, where: str) -> None:
    before = sorted(full.root.iterdir())
    with pytest.raises(SecretsError):
        make(full, where)
    assert sorted(full.root.iterdir()) == before


def test_a_store_with_secrets_is_not_restored_over(full: World) -> None:
    path, _ = make(full)
    before = full.rows()
    with pytest.raises(CallerError) as caught:
        backups.restore_backup(full.person(), path, PASSPHRASE, quietly)
    assert (caught.value.code, "--aside" in str(caught.value.hint)) == (Code.INVALID_ARGUMENTS, True)
    assert full.rows() == before


def other_store(full: World) -> Person:
    path = backups.beside(full.path, "stamp")
    other = Store(path, Custody(environment={}), lambda: full.time)
    other.create_with_key_file(full.key_file.with_name("other.key"))
    return Person(store=other)


def test_a_new_store_takes_the_place_of_the_old_one_which_stays_whole(full: World) -> None:
    path, contents = make(full)
    full.close()
    before = full.path.read_bytes()
    link = full.root / "link.db"
    link.symlink_to(full.path)
    new = other_store(full)
    assert backups.restore_backup(new, path, PASSPHRASE, quietly) == contents
    full.path = link
    aside = backups.take_place(full.store(), new.store, "stamp")
    assert (aside.name, aside.read_bytes()) == ("secrets.db.aside-stamp", before)
    assert link.is_symlink()
    assert sorted(one.name for one in aside.parent.iterdir()) == ["secrets.db", aside.name]
    assert inspection.check_store(full.person())[1] == contents.versions


def test_a_store_with_a_damaged_header_can_be_replaced(full: World) -> None:
    path, contents = make(full)
    full.close()
    data = b"x" * 32 + full.path.read_bytes()[32:]
    full.path.write_bytes(data)
    new = other_store(full)
    backups.restore_backup(new, path, PASSPHRASE, quietly)
    assert backups.take_place(full.store(), new.store, "stamp").read_bytes() == data
    assert inspection.check_store(full.person())[1] == contents.versions


def test_a_store_that_a_client_has_open_is_not_replaced(full: World) -> None:
    full.close()
    new = other_store(full)
    with closing(full.store()) as client:
        client.unlock()
        with client.write() as tx:
            full.person().log(tx, "get", "T")
        with pytest.raises(StoreError) as caught:
            backups.take_place(full.store(), new.store, "stamp")
        assert caught.value.code is Code.STORE_BUSY
    backups.discard(new.store)
    assert sorted(one.name for one in full.path.parent.iterdir()) == ["secrets.db"]
    assert [one.name for one in full.key_file.parent.iterdir()] == [full.key_file.name]


def test_what_another_key_opens_is_no_backup(full: World) -> None:
    full.close()
    with pytest.raises(StoreError) as caught:
        backups.verify_backup(full.path, "nonsense of some length")
    assert caught.value.code is Code.STORE_FORMAT


def test_what_is_newer_than_its_head_is_kept_and_can_be_used(full: World) -> None:
    person = full.person()
    secrets.set_value(person, "X", "old")
    full.close()
    with attacker.attacker(full.path) as connection:
        heads = connection.execute("SELECT record, head FROM records").fetchall()
    secrets.set_value(full.person(), "X", "new")
    full.close()
    with attacker.attacker(full.path) as connection:
        connection.executemany("UPDATE records SET head = ?2 WHERE record = ?1", heads)
    path, contents = make(full)
    assert any("'X'" in line for line in contents.wrong)
    new = other_store(full)
    backups.restore_backup(new, path, PASSPHRASE, quietly)
    inspection.check_store(new)
    assert secrets.get_value(new, "X", warn=print) == "new"


@pytest.mark.parametrize("fault", ["text", "empty", "cut", "changed", "row gone", "no such file", "directory"])
def test_a_backup_that_is_none_or_is_damaged_is_refused_and_nothing_is_made(full: World, fault: str) -> None:
    path, _ = make(full)
    data = path.read_bytes()
    if fault in ("no such file", "directory"):
        path.unlink()
        path.mkdir() if fault == "directory" else None
    elif fault == "row gone":
        with attacker.attacker(path) as connection:
            connection.execute("DELETE FROM versions WHERE rowid = 2")
    else:
        changed = data[:9000] + bytes([data[9000] ^ 1]) + data[9001:]
        path.write_bytes({"text": b"notes of mine", "empty": b"", "cut": data[:20000], "changed": changed}[fault])
    if fault == "changed":  # one changed bit of a token
        with closing(sqlite3.connect(path)) as connection:
            token = bytearray(connection.execute("SELECT token FROM versions WHERE rowid = 1").fetchone()[0])
            token[40] ^= 1
            connection.execute("UPDATE versions SET token = ? WHERE rowid = 1", (bytes(token),))
            connection.commit()
    other = elsewhere(full)
    with pytest.raises(SecretsError):
        backups.restore_backup(other, path, PASSPHRASE, quietly)
    assert not other.store.path.exists()


def test_a_backup_is_of_one_moment_while_others_write(world: World) -> None:
    # Each transaction gives both names the same number.
    person = world.person()
    for number in range(30):
        secrets.set_value(person, f"FILLER_{number}", "x" * 2000)
    stop, written = threading.Event(), SimpleQueue[int]()

    def write() -> None:
        number = 0
        with closing(world.store()) as mine:
            while not stop.wait(0.02):
                number += 1
                with mine.write() as tx:
                    for name in ("ONE", "TWO"):
                        records.put(
                            tx,
                            scope=SHARED,
                            name=name,
                            value=str(number),
                            origin=PERSON,
                            entered_by=EnteredBy.PERSON,
                        )
                written.put(number)

    writer = threading.Thread(target=write)
    writer.start()
    last = 0
    try:
        for turn in range(5):
            while written.get(timeout=DEADLINE) <= last:
                pass
            path, contents = make(world, f"backup {turn}")
            assert contents.wrong == ()
            other = elsewhere(world, f"other {turn}")
            backups.restore_backup(other, path, PASSPHRASE, quietly)
            values = [secrets.get_value(other, name, warn=pytest.fail) for name in ("ONE", "TWO")]
            assert values[0] == values[1]
            assert int(values[0]) > last
            last = int(values[0])
    finally:
        stop.set()
        writer.join()


def test_progress_comes_to_its_end(full: World) -> None:
    told: list[tuple[int, int]] = []
    backups.make(full.person(), full.root / "b", PASSPHRASE, lambda done, total: told.append((done, total)))
    assert told == [(n, 5) for n in range(1, 6)]


# Damage


Fault = Callable[[sqlite3.Connection, dict[str, bytes]], object]


def keys(world: World) -> dict[str, bytes]:
    with closing(world.store()) as store, store.read() as tx:
        return {f"{r.scope} {r.name}": records.key_of(tx, r.scope, r.name) for r in records.iterate_all(tx)}


def garble(statement: str, *names: str) -> Fault:
    return lambda connection, found: connection.execute(statement, [found[name] for name in names])


FAULTS: dict[str, tuple[Fault, list[str], dict[str, str | None]]] = {
    "an old version": (
        garble("UPDATE versions SET token = x'00' WHERE record = ? AND version = 1", "shared T"),
        ["version 1 of 'T' of scope 'shared' is damaged"],
        {},
    ),
    "the newest version": (
        garble("UPDATE versions SET token = x'00' WHERE record = ? AND version = 3", "shared T"),
        [
            "version 3 of 'T' of scope 'shared' is damaged",
            "the newest value of 'T' of scope 'shared' is lost; its earlier values are kept",
        ],
        {"T": None},
    ),
    "all versions": (
        garble("UPDATE versions SET token = x'00' WHERE record = ?", "shared GUARDED"),
        ["'GUARDED' of scope 'shared' is lost: none of its values can be read"],
        {"GUARDED": None},
    ),
    "a head": (
        garble("UPDATE records SET head = x'00' WHERE record = ?", "shared GUARDED"),
        ["a record's name cannot be read; its values are kept as 'recovered-"],
        {"GUARDED": None, "recovered-": "g"},
    ),
    "a head that is gone": (
        garble("DELETE FROM records WHERE record = ?", "shared GUARDED"),
        ["a record's name cannot be read; its values are kept as 'recovered-"],
        {"GUARDED": None, "recovered-": "g"},
    ),
    "a version that is gone": (
        garble("DELETE FROM versions WHERE record = ? AND version = 1", "shared T"),
        ["versions of 'T' of scope 'shared' were removed, added or rolled back"],
        {},
    ),
    "the store's head": (
        lambda connection, _: connection.execute("UPDATE store SET head = x'00'"),
        ["The store failed verification"],
        {},
    ),
    "a grant": (
        lambda connection, _: connection.execute("DELETE FROM grants"),
        [],
        {},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_record_that_opens_is_saved_and_the_others_are_named(full: World, fault: str) -> None:
    meddle, wrong, values = FAULTS[fault]
    found = keys(full)
    full.close()
    with attacker.attacker(full.path) as connection:
        meddle(connection, found)
    told = damages(full.person(), quietly)
    path, contents = make(full)
    assert len(contents.wrong) == len(wrong)
    assert contents.logged is not ("head" in fault)  # a store whose heads do not verify cannot log
    assert all(line.startswith(said) for line, said in zip(contents.wrong, wrong, strict=True)), contents.wrong
    assert [line for line in told if line not in contents.wrong] == []
    other = elsewhere(full)
    backups.restore_backup(other, path, PASSPHRASE, quietly)
    expected = {"T": "third 🔑", "GUARDED": "g", "OF_AGENT": "a", **values}
    stored = {
        record.name: secrets.get_value(other, record.name, warn=pytest.fail)
        for record in secrets.list_all(other)
        if record.scope == SHARED
    }
    for name, value in expected.items():
        got = [text for each, text in stored.items() if each == name or (name.endswith("-") and each.startswith(name))]
        assert got == ([] if value is None else [value]), name
    inspection.check_store(other)
    if fault == "the newest version":
        assert history.restore_version(other, "T").earlier.number == 2
        assert secrets.get_value(other, "T", warn=pytest.fail) == "second\nline"
    if fault.startswith("a head"):
        assert next(r for r in secrets.list_all(other) if r.name.startswith("recovered-")).access is Access.USE_ONLY


def test_damaged_pages_cost_what_stands_on_them_and_no_more(world: World, tmp_path: Path) -> None:
    person = world.person()
    values = {f"S{number}": f"value {number} " + "x" * 300 for number in range(150)}
    for name, value in values.items():
        secrets.set_value(person, name, value)
    world.close()
    whole = world.path.read_bytes()
    with closing(sqlite3.connect(world.path)) as connection:
        roots = {row[0] for row in connection.execute("SELECT rootpage FROM sqlite_schema")}
    pages = [page for page in range(2, len(whole) // 4096 + 1) if page not in roots]
    saved = []
    for turn, page in enumerate(random.Random(5).sample(pages, 12)):
        at = (page - 1) * 4096
        world.path.write_bytes(whole[:at] + os.urandom(4096) + whole[at + 4096 :])
        path = tmp_path / f"backup {turn}"
        contents = backups.make(world.person(), path, PASSPHRASE, quietly)
        other = elsewhere(world, f"other {turn}")
        backups.restore_backup(other, path, PASSPHRASE, quietly)
        stored = {
            record.name: secrets.get_value(other, record.name, warn=pytest.fail) for record in secrets.list_all(other)
        }
        kept = {name: value for name, value in stored.items() if not name.startswith("recovered-")}
        assert kept.items() <= values.items()
        assert {value for name, value in stored.items()} <= set(values.values())
        saved.append(len(stored))
        assert contents.wrong or len(stored) == 150  # the damaged page may belong to the log
        world.close()
    assert 90 < min(saved) < 150
