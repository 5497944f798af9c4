"""A store for tests of the keeping layer: its key in a file, a clock set by hand, no keyring in reach.

`python -m tests.support.keeping STORE STEP [NAME [VALUE]]` takes one step on it in a process of its own (`STEPS`), for
tests that take rights or space away from that process, and prints what came of it.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from claude_secrets.errors import SecretsError
from claude_secrets.keys.custody import Custody
from claude_secrets.model import PERSON, SHARED, Access, EnteredBy
from claude_secrets.person import secrets
from claude_secrets.store import records
from claude_secrets.store.records import Record, Stored
from claude_secrets.store.store import Store
from claude_secrets.store.transaction import Transaction

NO_KEYRING = {"XDG_RUNTIME_DIR": "/nonexistent"}
"""An environment in which no keyring is found."""


def custody() -> Custody:
    return Custody(environment=dict(NO_KEYRING))


class Keep:
    """One store and its key file under a temporary directory."""

    def __init__(self, root: Path) -> None:
        self.path = root / "data" / "secrets.db"
        self.key_file = root / "keys" / "master.key"
        self.key_file.parent.mkdir(exist_ok=True)
        self.time = 1_800_000_000.0
        self._stores: list[Store] = []

    def store(self) -> Store:
        """A new `Store` on the file, as another process would have."""
        self._stores.append(Store(self.path, custody(), lambda: self.time))
        return self._stores[-1]

    def create(self) -> Self:
        self.store().create_with_key_file(self.key_file)
        return self

    def close(self) -> Self:
        """Close every `Store` there was, so that the log is folded into the file."""
        for store in self._stores:
            store.close()
        return self

    def files(self) -> dict[str, bytes]:
        """The names and contents of all files in the store's directory."""
        return {path.name: path.read_bytes() for path in sorted(self.path.parent.iterdir())}


def put(
    store: Store,
    name: str,
    value: str,
    *,
    scope: str = SHARED,
    origin: str = PERSON,
    by: EnteredBy = EnteredBy.PERSON,
    access: Access | None = None,
) -> Stored:
    with store.write() as tx:
        return records.put(tx, scope=scope, name=name, value=value, origin=origin, entered_by=by, access=access)


def existing(tx: Transaction, name: str, scope: str = SHARED) -> Record:
    record = records.find(tx, scope, name)
    assert record is not None, name
    return record


def delete(store: Store, name: str) -> None:
    with store.write() as tx:
        records.delete(tx, existing(tx, name), entered_by=EnteredBy.PERSON)


def find(store: Store, name: str, scope: str = SHARED) -> Record:
    with store.read() as tx:
        return existing(tx, name, scope)


def get(store: Store, name: str, scope: str = SHARED) -> str:
    with store.read() as tx:
        return records.value(tx, existing(tx, name, scope))


def contents(store: Store) -> dict[str, str]:
    """Every secret that is not deleted, by name, with its value; all histories are verified on the way."""
    with store.read() as tx:
        found, _ = records.verify_all(tx)
        return {record.name: records.value(tx, record) for record in found if not record.deleted}


def command(path: Path, *step: str) -> list[str]:
    """The command line that takes one step on the store at `path`."""
    return [sys.executable, "-m", "tests.support.keeping", str(path), *step]


def _person_get(store: Store, name: str) -> str:
    from claude_secrets.person.person import Person

    warnings: list[str] = []
    value = secrets.get_value(Person(store=store), name, warn=warnings.append)
    return f"{value} ({len(warnings)} warnings)"


def _limited_put(store: Store, name: str, letter: str, count: str) -> str:
    import resource  # where there is POSIX

    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, resource.RLIM_INFINITY))
    return str(put(store, name, letter * int(count)).version)


STEPS: dict[str, Callable[..., str]] = {
    "get": get,
    "person-get": _person_get,
    "put": lambda store, name, value: str(put(store, name, value).version),
    "put-with-file-size-limit": _limited_put,
    "create": lambda store, key_file: str(store.create_with_key_file(Path(key_file))),
}


def main() -> None:
    store = Store(Path(sys.argv[1]), custody(), time.time)
    try:
        outcome = STEPS[sys.argv[2]](store, *sys.argv[3:])
    except SecretsError as error:
        outcome = error.code
    store.close()
    os.write(1, outcome.encode())


if __name__ == "__main__":
    main()
