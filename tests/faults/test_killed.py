"""Tests that kill the program at any moment: no acknowledged change and no key is lost, and nothing is left behind."""

import json
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeAlias

import pytest

from claude_secrets.errors import CustodyError
from claude_secrets.keys import key_file
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.passphrase import Stretching
from claude_secrets.keys.recovery_code import new_code
from claude_secrets.keys.slot import KEYRING, State
from claude_secrets.person import backups, inspection, keys, secrets
from claude_secrets.person.person import Person
from claude_secrets.store import records, schema
from claude_secrets.store.store import Store
from tests.faults import operations
from tests.faults.operations import PASSPHRASES, ExpectedStore, Operation, StorePlace
from tests.support.keyrings import RealKeyring
from tests.support.posix import skip_without
from tests.support.requirements import require

skip_without("signals that kill a process at a chosen moment")
assert sys.platform != "win32"

SYSCALLS = "pwrite64,write,fdatasync,fsync,ftruncate,unlink,unlinkat,link,linkat,rename,sendmsg,sendto"
"""The system calls that change something outside of the process. A test kills the process at each of them."""

Step: TypeAlias = tuple[str, int]
"""A system call, and its number among the calls of its kind, as strace counts them."""

PATIENCE = 60.0


@pytest.fixture
def place(keyring: RealKeyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StorePlace]:
    """Create a store with its key in a real keyring, and a backup."""
    place = StorePlace(tmp_path, dict(keyring.environment))
    (tmp_path / "keys").mkdir()
    monkeypatch.setattr(Stretching, "new", staticmethod(operations.cheap))
    person = place.person()
    secrets.set_value(person, "NAME_0", "value 0")
    backups.make(person, tmp_path / "kept.backup", PASSPHRASES, lambda *_: None)
    person.store.close()
    yield place
    place.close()


def held(place: StorePlace, path: Path | None = None) -> dict[str, str | None]:
    """Verify every row of a store, and return its values by name; None for a deleted secret."""
    person = place.person(path)
    with closing(person.store):
        inspection.check_store(person)
        with person.store.read() as tx:
            return {r.name: None if r.deleted else records.value(tx, r) for r in records.iterate_all(tx)}


def check(
    place: StorePlace,
    keyring: RealKeyring,
    before: ExpectedStore,
    operation: Operation | None,
    acknowledged: list[Operation],
) -> ExpectedStore:
    """Check that the store has its state before or after the interrupted operation, and that no other file is left."""
    found = held(place)
    after = before.after(operation) if operation else before
    assert found in (before.current(), after.current()), operation
    person = place.person()
    with closing(person.store):
        keys.clear_away(person)
        slots = [info.slot for info in keys.list_keys(person)]
        assert all(info.failure is None for info in keys.list_keys(person)), operation
    assert all(slot.state is State.THERE for slot in slots)
    extra = sorted(slot.kind for slot in slots if slot.kind != KEYRING)
    assert extra in (sorted(before.slots), sorted(after.slots)), operation
    assert sum(slot.kind == KEYRING for slot in slots) == 1
    stores = {place.store.parent: "secrets.db"}
    for done in [*acknowledged, *([operation] if operation else [])]:
        check_other(place, done, sure=done is not operation)
        if "at" in done and done["do"] != "migrate":
            stores[place.root / done["at"]] = "secrets.db"
    files = {path.name for path in place.store.parent.iterdir()}
    assert files <= {"secrets.db", "secrets.db-wal", "secrets.db-shm"}, operation
    backed_up = {done["file"] for done in [*acknowledged, operation or {}] if done and done["do"] == "backup"}
    assert {path.name for path in place.root.iterdir() if path.is_file()} <= backed_up | {"kept.backup"}
    key_files = {slot.key_file for slot in slots if slot.key_file}
    if operation and operation["do"] == "remove":  # the command asks the person to delete the file
        for path in set((place.root / "keys").iterdir()) - key_files:
            path.unlink()
    assert set((place.root / "keys").iterdir()) == key_files, operation
    check_keyring(place, keyring, list(stores))
    if after.slots != before.slots:
        return after if extra == sorted(after.slots) else before
    return after if found == after.current() else before


def check_other(place: StorePlace, operation: Operation, *, sure: bool) -> None:
    """Check the other file that an operation writes: complete if `sure`, otherwise complete or absent."""
    if operation["do"] == "backup":
        file = place.root / operation["file"]
        assert file.exists() or not sure
        if file.exists():
            assert backups.verify_backup(file, PASSPHRASES).wrong == ()
    if operation["do"] in ("first run", "restore backup"):
        path = place.root / operation["at"] / "secrets.db"
        wanted = {"FIRST": operation["value"]} if operation["do"] == "first run" else {"NAME_0": "value 0"}
        if not sure:  # repeating the operation finishes it or starts again
            operations.do(place, operation) if not path.exists() or held(place, path) != wanted else None
        assert held(place, path) == wanted
        assert {file.name for file in path.parent.iterdir()} <= {"secrets.db", "secrets.db-wal", "secrets.db-shm"}
    if operation["do"] == "migrate":
        path = place.root / operation["at"] / "secrets.db"
        assert path.exists() or not sure
        operations.migrate(place.root / operation["at"])
        with operations.later_version(), closing(operations.held(path)) as store, store.read() as tx:
            assert schema.format_of(tx.connection) == 2
            assert [records.value(tx, record) for record in records.iterate_all(tx)] == ["first"]
        left = {file.name for file in path.parent.iterdir()}
        assert left <= {"secrets.db", "secrets.db-wal", "secrets.db-shm", "secrets.db.format-1", "draft"}


def check_keyring(place: StorePlace, keyring: RealKeyring, directories: list[Path]) -> None:
    """Check that the keyring has one entry for each slot of the stores, and no other entry."""
    wanted = set()
    for directory in directories:
        path = directory / "secrets.db"
        if path.exists():
            person = place.person(path)
            with closing(person.store), person.store.read() as tx:
                ids = [row[0] for row in tx.connection.execute("SELECT slot_id FROM key_slots WHERE kind = 'keyring'")]
                wanted |= {f"{tx.cipher.store_id}.{slot_id}" for slot_id in ids}
    assert set(keyring.entries()) == wanted


@pytest.fixture(autouse=True)
def _clean(keyring: RealKeyring) -> Iterator[None]:
    yield
    for entry in keyring.entries():
        keyring.remove(entry)


def killed_at_random(place: StorePlace, plan: list[Operation], seconds: float) -> int:
    """Do the plan in another process, kill it after `seconds`, and return the number of acknowledged operations."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.operations"])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=operations.work, args=(place.root, dict(place.environment), plan, there))
    process.start()
    there.close()
    assert here.poll(PATIENCE), "the process does not begin"
    assert here.recv() == "begun"
    time.sleep(seconds)
    process.kill()
    process.join()
    process.close()
    count = 0
    with here, suppress(EOFError):
        while here.recv() == "done":
            count += 1
    return count


def test_killed_at_random(place: StorePlace, keyring: RealKeyring, rounds: int) -> None:
    dice = random.Random(rounds)
    known, serial, killed = ExpectedStore({"NAME_0": ["value 0"]}), 0, 0
    for _ in range(rounds):
        plan, states = [], [known]
        for _ in range(12):
            serial += 1
            plan.append(dice.choice(states[-1].possible_operations(dice, serial)))
            states.append(states[-1].after(plan[-1]))
        count = killed_at_random(place, plan, dice.uniform(0, 0.25))
        under_way = plan[count] if count < len(plan) else None
        known = check(place, keyring, states[count], under_way, plan[:count])
        killed += under_way is not None
        _forget(place, plan)
    assert killed > rounds // 2


def _forget(place: StorePlace, plan: list[Operation]) -> None:
    """Remove the other files that the operations made, and the keys of those files."""
    for operation in plan:
        (place.root / operation.get("file", "nothing")).unlink(missing_ok=True)
        path = place.root / operation.get("at", "nothing") / "secrets.db"
        if path.exists() and operation["do"] != "migrate":
            person = place.person(path)
            with closing(person.store), person.store.read() as tx:
                identity = tx.cipher.identity
                slots = person.store.slots()
            for slot in slots:
                person.store.custody.take_away(identity, slot)
        shutil.rmtree(path.parent, ignore_errors=True)


STEPS: list[tuple[list[Operation], Operation]] = [
    ([], {"do": "set", "name": "NAME_0", "value": "another"}),
    ([], {"do": "set", "name": "NAME_1", "value": "x" * 20000}),
    ([], {"do": "delete", "name": "NAME_0"}),
    ([{"do": "delete", "name": "NAME_0"}], {"do": "restore", "name": "NAME_0"}),
    ([], {"do": "purge", "name": "NAME_0"}),
    ([], {"do": "rotate"}),
    ([{"do": "add file", "kind": "file", "file": "k"}], {"do": "rotate data", "code": ""}),
    ([], {"do": "add file", "kind": "file", "file": "k"}),
    ([{"do": "add file", "kind": "file", "file": "k"}], {"do": "remove", "kind": "file"}),
    ([], {"do": "backup", "file": "made"}),
    ([], {"do": "restore backup", "at": "restored"}),
    ([], {"do": "first run", "at": "first", "value": "v"}),
    ([], {"do": "migrate", "at": "migrated"}),
]


@pytest.mark.parametrize(("first", "operation"), STEPS, ids=lambda part: part["do"] if isinstance(part, dict) else "")
def test_killed_between_two_steps(
    place: StorePlace, keyring: RealKeyring, rounds: int, first: list[Operation], operation: Operation
) -> None:
    """Kill the process at each system call that changes something, or at two random calls if `rounds` is below 200."""
    tracer = require("strace")
    known = ExpectedStore({"NAME_0": ["value 0"]})
    for earlier in first:
        operations.do(place, earlier)
        known = known.after(earlier)
    steps = _steps(place, operation, tracer)
    assert len(steps) > 4
    for call, number in _chosen(steps, rounds, operation):
        _begin_again(place, keyring, known, first)
        inject = f"inject={call}:signal=SIGKILL:when={number}"
        killed = _run(place, operation, [*_traced(tracer, os.devnull), "-e", inject])
        state = (
            check(place, keyring, known, operation, [])
            if killed
            else check(place, keyring, known.after(operation), None, [operation])
        )
        _forget(place, [operation])
        if state.values != known.values or state.slots != known.slots:
            _begin_again(place, keyring, known, first)


def test_killed_while_every_key_is_replaced(place: StorePlace, keyring: RealKeyring, rounds: int) -> None:
    """Either only the old keys open the store, or only the new keys do. Tidying removes the keys that open nothing."""
    tracer, known = require("strace"), ExpectedStore({"NAME_0": ["value 0"]})
    first: list[Operation] = [
        {"do": "add file", "kind": "file", "file": "k"},
        {"do": "add passphrase", "kind": "passphrase"},
    ]

    def begin() -> tuple[str, set[str]]:
        _begin_again(place, keyring, known, first)
        code = keys.create_code(place.person(), replacing=False)
        return code, {*keyring.entries().values(), (place.root / "keys" / "k").read_text().strip()}

    operation: Operation = {"do": "rotate data", "passphrase": "another passphrase", "code": new_code()}
    for earlier in first:
        operations.do(place, earlier)
    keys.create_code(place.person(), replacing=False)
    steps = _steps(place, operation, tracer)
    chosen = steps if rounds >= 200 else random.Random(rounds).sample(steps, 8)
    outcomes = Counter[bool]()
    for call, number in chosen:
        code, old = begin()
        _run(place, operation, [*_traced(tracer, os.devnull), "-e", f"inject={call}:signal=SIGKILL:when={number}"])
        assert opened(place, keyring, None) == opened(place, keyring, None, file=True) == "value 0"  # before tidying
        replaced = opened(place, keyring, operation["passphrase"]) is not None
        assert (opened(place, keyring, PASSPHRASES) is None) == replaced
        assert (by_code(place, code), by_code(place, operation["code"])) == (not replaced, replaced)
        person = place.person()
        with closing(person.store):
            keys.clear_away(person)
            assert not keys.unfinished(person)
            assert [info.slot.state for info in keys.list_keys(person)] == [State.THERE] * 4
        held = key_file.read_keys(place.root / "keys" / "k")
        assert [path.name for path in (place.root / "keys").iterdir()] == ["k"]
        new = {*keyring.entries().values(), *(key.master_key.decode() for key in held)}
        assert (len(new), len(held), new & old) == (2, 1, set() if replaced else old), (call, number)
        outcomes[replaced] += 1
    assert rounds < 200 or min(outcomes[False], outcomes[True]) > 5


def opened(place: StorePlace, keyring: RealKeyring, words: str | None, *, file: bool = False) -> str | None:
    """Read the store with only a passphrase, only the key file or, if neither is given, only the keyring."""
    key, away = place.root / "keys" / "k", place.root / "away"
    elsewhere = {"XDG_RUNTIME_DIR": str(place.root), "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent"}
    environment = keyring.environment if words is None and not file else elsewhere
    if not file:
        key.rename(away)
    custody = Custody(environment=dict(environment), ask_passphrase=None if words is None else (lambda: words))
    try:
        with closing(Store(place.store, custody, lambda: 1_800_000_000.0)) as store:
            return secrets.get_value(Person(store=store), "NAME_0", warn=pytest.fail)
    except CustodyError:
        return None
    finally:
        if not file:
            away.rename(key)


def by_code(place: StorePlace, code: str) -> bool:
    with closing(Store(place.store, Custody(environment={}), lambda: 1_800_000_000.0)) as store:
        try:
            store.unlock_with_code(code)
        except CustodyError:
            return False
        return secrets.get_value(Person(store=store), "NAME_0", warn=pytest.fail) == "value 0"


def _traced(tracer: str, to: str) -> list[str]:
    return [tracer, "-f", "-qq", "-o", to, "-e", f"trace={SYSCALLS}", "-e", "signal=none"]


def _chosen(steps: list[Step], rounds: int, operation: Operation) -> list[Step]:
    return steps if rounds >= 200 else random.Random(operation["do"]).sample(steps, 2)


def _run(place: StorePlace, operation: Operation, wrapper: list[str]) -> bool:
    """Do the operation in a separate process, and return whether it was killed."""
    told = json.dumps({"root": str(place.root), "environment": dict(place.environment), "operation": operation})
    done = subprocess.run(
        [*wrapper, sys.executable, "-B", "-m", "tests.faults.operations", told],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, **place.environment},
    )
    assert done.returncode in (0, -9, 137), done.stderr
    return done.returncode != 0


def _steps(place: StorePlace, operation: Operation, tracer: str) -> list[Step]:
    """Do the operation under strace, and return its system calls."""
    trace = place.root / "trace"
    assert not _run(place, operation, _traced(tracer, str(trace)))
    calls = re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE)
    trace.unlink()
    _forget(place, [operation])
    return [(call, number) for call, count in Counter(calls).items() for number in range(1, count + 1)]


def _begin_again(place: StorePlace, keyring: RealKeyring, known: ExpectedStore, first: list[Operation]) -> None:
    """Restore the store to its state before the operation."""
    for path in [*place.store.parent.iterdir(), *(place.root / "keys").iterdir()]:
        path.unlink()
    for entry in keyring.entries():
        keyring.remove(entry)
    secrets.set_value(place.person(), "NAME_0", "value 0")
    for earlier in first:
        operations.do(place, earlier)
    assert held(place) == known.current()
