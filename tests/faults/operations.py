"""Every kind of write, as operations that one process carries out and another process checks.

Always: an operation is plain data. `ExpectedStore.after` predicts the store's content after an operation, and shares no
code with the program. A process reports an operation on a pipe only after the program has returned.
"""

import json
import os
import random
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

from claude_secrets.keys.custody import Custody
from claude_secrets.keys.passphrase import Stretching
from claude_secrets.keys.recovery_code import new_code
from claude_secrets.keys.slot import FILE, PASSPHRASE
from claude_secrets.model import SHARED, EnteredBy
from claude_secrets.person import backups, history, keys, rotation, secrets
from claude_secrets.person.person import Person
from claude_secrets.store import migrations, records, schema
from claude_secrets.store.store import Store
from claude_secrets.store.transaction import Transaction
from tests.vectors.held import DIRECTORY, TIME, HeldKey

Operation: TypeAlias = dict[str, str]

PASSPHRASES = "correct horse battery staple"
NAMES = [f"NAME_{number}" for number in range(6)]
VECTOR = "good-versions"
LABELS = "CREATE TABLE labels (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID"


@dataclass(frozen=True)
class StorePlace:
    """The paths of a store and its other files, and the environment that leads to its keyring."""

    root: Path
    environment: Mapping[str, str]
    opened: list[Store] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.root / "data" / "secrets.db"

    def person(self, path: Path | None = None) -> Person:
        custody = Custody(environment=dict(self.environment), ask_passphrase=lambda: PASSPHRASES)
        self.opened.append(Store(path or self.store, custody, lambda: 1_800_000_000.0))
        return Person(store=self.opened[-1])

    def close(self) -> None:
        for store in self.opened:
            store.close()


@dataclass
class ExpectedStore:
    """The expected content of a store: each name's values (oldest first, None for a deletion), and extra key slots."""

    values: dict[str, list[str | None]] = field(default_factory=dict)
    slots: list[str] = field(default_factory=list)

    def after(self, operation: Operation) -> "ExpectedStore":
        values = {name: [*history] for name, history in self.values.items()}
        slots = [*self.slots]
        name = operation.get("name", "")
        match operation["do"]:
            case "set" | "agent sets":
                if values.get(name, [None])[-1] != operation["value"]:
                    values.setdefault(name, []).append(operation["value"])
            case "delete":
                values[name].append(None)
            case "restore":
                values[name].append(self.earlier(name))
            case "purge":
                del values[name]
            case "rename":
                values[operation["new"]] = values.pop(name)
            case "add file" | "add passphrase":
                slots.append(operation["kind"])
            case "remove":
                slots.remove(operation["kind"])
        return ExpectedStore(values, slots)

    def earlier(self, name: str) -> str | None:
        return next((value for value in reversed(self.values[name][:-1]) if value is not None), None)

    def current(self) -> dict[str, str | None]:
        return {name: history[-1] for name, history in self.values.items()}

    def possible_operations(self, dice: random.Random, serial: int) -> list[Operation]:
        """Return operations that the store allows now, with random names and values."""
        there = [name for name, history in self.values.items() if history[-1] is not None]
        free = [name for name in NAMES if name not in self.values]
        again = [name for name in self.values if self.earlier(name) not in (None, self.values[name][-1])]
        value = f"value {serial} " + "x" * dice.choice([1, 50, 5000])
        found: list[Operation] = [
            {"do": "set", "name": dice.choice(NAMES), "value": value},
            {"do": "agent sets", "name": dice.choice(NAMES), "value": value},
            {"do": "rotate"},
            {"do": "rotate data", "passphrase": f"of round {serial}", "code": new_code()},
            {"do": "backup", "file": f"backup-{serial}"},
            {"do": "first run", "at": f"first-{serial}", "value": value},
            {"do": "restore backup", "at": f"restored-{serial}"},
            {"do": "migrate", "at": f"migrated-{serial}"},
        ]
        found += [{"do": "delete", "name": dice.choice(there)}] if there else []
        found += [{"do": "purge", "name": dice.choice(there)}] if there else []
        found += [{"do": "restore", "name": dice.choice(again)}] if again else []
        found += [{"do": "rename", "name": dice.choice(there), "new": dice.choice(free)}] if there and free else []
        for kind, operation in ((FILE, "add file"), (PASSPHRASE, "add passphrase")):
            added = {"do": operation, "kind": kind, "file": f"key-{serial}"}
            found.append({"do": "remove", "kind": kind} if kind in self.slots else added)
        return found


def do(place: StorePlace, operation: Operation) -> None:
    """Carry out one operation with the program's own code."""
    person = place.person()
    with closing(person.store):
        _DOING[operation["do"]](place, person, operation)


def _at(place: StorePlace, operation: Operation) -> Person:
    return place.person(place.root / operation["at"] / "secrets.db")


def _agent_sets(person: Person, name: str, value: str) -> None:
    with person.store.write() as tx:
        records.put(tx, scope=SHARED, name=name, value=value, origin="/work/api", entered_by=EnteredBy.AGENT)


def _rotate_data(person: Person, operation: Operation) -> None:
    found, fixed = rotation.prepare(person)
    passphrases = {slot.slot_id: operation["passphrase"] for slot in found if slot.kind == PASSPHRASE}
    lost = [each.slot for each in fixed]
    rotation.replace_every_key(person, found, lost, passphrases=passphrases, code=operation["code"], progress=_quietly)


def _remove(person: Person, kind: str) -> None:
    slot = next(info.slot for info in keys.list_keys(person) if info.slot.kind == kind)
    keys.remove_key(person, slot.slot_id)
    if slot.key_file is not None:
        slot.key_file.unlink()  # as the command asks the person to do


def _backup(place: StorePlace, person: Person, operation: Operation) -> None:
    backups.make(person, place.root / operation["file"], PASSPHRASES, _quietly)


def _restore_backup(place: StorePlace, _: Person, operation: Operation) -> None:
    backups.restore_backup(_at(place, operation), place.root / "kept.backup", PASSPHRASES, _quietly)


def _quietly(_done: int, _total: int) -> None:
    pass


_DOING: dict[str, Callable[[StorePlace, Person, Operation], object]] = {
    "set": lambda _, person, operation: secrets.set_value(person, operation["name"], operation["value"]),
    "agent sets": lambda _, person, operation: _agent_sets(person, operation["name"], operation["value"]),
    "delete": lambda _, person, operation: secrets.delete(person, operation["name"]),
    "restore": lambda _, person, operation: history.restore_version(person, operation["name"]),
    "purge": lambda _, person, operation: history.purge(person, operation["name"]),
    "rename": lambda _, person, operation: secrets.rename(person, operation["name"], operation["new"]),
    "rotate": lambda _place, person, _deed: keys.replace_in_keyring(person),
    "rotate data": lambda _place, person, operation: _rotate_data(person, operation),
    "add file": lambda place, person, operation: keys.add_file(person, place.root / "keys" / operation["file"]),
    "add passphrase": lambda _place, person, _deed: keys.add_passphrase(person, PASSPHRASES),
    "remove": lambda _, person, operation: _remove(person, operation["kind"]),
    "backup": _backup,
    "restore backup": _restore_backup,
    "first run": lambda place, _, operation: secrets.set_value(_at(place, operation), "FIRST", operation["value"]),
    "migrate": lambda place, _, operation: migrate(place.root / operation["at"]),
}


def migrate(directory: Path) -> None:
    """Migrate a store from format 1 to a made-up format 2, because no real format 2 exists yet."""
    path = directory / "secrets.db"
    if not path.exists():
        directory.mkdir(exist_ok=True)
        shutil.copyfile(DIRECTORY / f"{VECTOR}.db", directory / "draft")
        (directory / "draft").rename(path)
    with later_version(), closing(held(path)) as store, store.read():
        pass


class later_version:  # noqa: N801  used as a context, like the functions of contextlib
    """Turns the program into a later version, whose format 2 has one more table."""

    def __enter__(self) -> None:
        wanted = [*schema._SCHEMAS[1], ("table", "labels", "labels", LABELS)]
        schema._SCHEMAS[2] = sorted(wanted, key=lambda entry: str(entry[1]))
        migrations.STEPS[1] = _add_labels
        vars(schema)["FORMAT"] = 2

    def __exit__(self, *_: object) -> None:
        del schema._SCHEMAS[2], migrations.STEPS[1]
        vars(schema)["FORMAT"] = 1


def _add_labels(tx: Transaction) -> None:
    tx.connection.execute(LABELS)


def held(path: Path) -> Store:
    """Open the store at `path`, a copy of the vector that `migrate` starts from."""
    vectors = json.loads((DIRECTORY / "vectors.json").read_text())
    master_key = next(vector["master_key"] for vector in vectors if vector["name"] == VECTOR)
    return Store(path, HeldKey(master_key), lambda: TIME)


def cheap() -> Stretching:
    """Return weak, fast settings for stretching passphrases; other tests check the real settings."""
    return Stretching(salt=os.urandom(16).hex(), iterations=1, lanes=1, memory_kib=64)


def quick() -> None:
    """Stretch passphrases with the weak, fast settings in this process from now on."""
    type.__setattr__(Stretching, "new", staticmethod(cheap))


def work(root: Path, environment: Mapping[str, str], operations: Sequence[Operation], done: Connection) -> None:
    """Do the operations one after the other, and report each operation when it is done."""
    quick()
    place = StorePlace(root, environment)
    done.send("begun")
    for operation in operations:
        do(place, operation)
        done.send("done")


def main() -> None:
    """`python -m tests.faults.operations JSON`: do one operation, all of it in one thread."""
    from claude_secrets.keys import os_keyring

    class Inline:
        """A stand-in for a thread: `start` does the work at once, so system calls always have the same order."""

        def __init__(self, *, target: Callable[..., object], args: tuple[object, ...], **_: object) -> None:
            self._work = partial(target, *args)

        def start(self) -> None:
            self._work()

        def is_alive(self) -> bool:
            return False

    vars(os_keyring)["Thread"] = Inline
    quick()
    told = json.loads(sys.argv[1])
    do(StorePlace(Path(told["root"]), told["environment"]), told["operation"])


if __name__ == "__main__":
    main()
