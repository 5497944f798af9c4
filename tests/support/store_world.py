"""A store for tests, with its key in a file, a clock that tests set, and no keyring.

`StoreOnDisk` is only the store. `World` adds the person and projects, and `Agent` the agents of one project.

`python -m tests.support.store_world STORE STEP [NAME [VALUE]]` takes one step (`STEPS`) on a store in a separate
process and prints the result. Tests use it to take rights or disk space away from that process.
"""

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import yaml

from claude_secrets.agent.gate import Gate
from claude_secrets.errors import Code, SecretsError
from claude_secrets.keys.custody import Custody
from claude_secrets.model import (
    PERSON,
    SHARED,
    Access,
    Answer,
    Ask,
    Call,
    Channel,
    ConsentQuestion,
    Declined,
    Done,
    Entered,
    EnteredBy,
    InputQuestion,
    Outcome,
    Refused,
    Tool,
)
from claude_secrets.paths import OwnDirectories, home_directories
from claude_secrets.person import secrets
from claude_secrets.person.person import Person
from claude_secrets.policy.allowlist import Allowlist, parse_allowlist
from claude_secrets.policy.project import CallOrigin, Project, locate
from claude_secrets.store import records
from claude_secrets.store.records import Record, Stored
from claude_secrets.store.store import Store
from claude_secrets.store.transaction import Transaction
from tests.support.disk import make_linked

NO_KEYRING = {"XDG_RUNTIME_DIR": "/nonexistent"}
"""An environment in which no keyring is found."""

_OF_THE_LOG = tuple(f'INSERT INTO "{table}"' for table in ("audit", "store"))


def custody() -> Custody:
    return Custody(environment=dict(NO_KEYRING))


class StoreOnDisk:
    """One store and its key file under a temporary directory."""

    def __init__(self, root: Path) -> None:
        self.path = root / "data" / "secrets.db"
        self.key_file = root / "keys" / "master.key"
        self.key_file.parent.mkdir(exist_ok=True)
        self.time = 1_800_000_000.0
        self._stores: list[Store] = []

    def store(self) -> Store:
        """Return a new `Store` for the file, as another process would have."""
        self._stores.append(Store(self.path, custody(), lambda: self.time))
        return self._stores[-1]

    def create(self) -> Self:
        self.store().create_with_key_file(self.key_file)
        return self

    def close(self) -> Self:
        """Close every `Store`, so that the log is written back into the file."""
        for store in self._stores:
            store.close()
        return self

    def files(self) -> dict[str, bytes]:
        """Return the names and contents of all files in the store's directory."""
        return {path.name: path.read_bytes() for path in sorted(self.path.parent.iterdir())}


class World(StoreOnDisk):
    """One person's machine under a temporary directory: the store, their configuration and projects."""

    def __init__(self, root: Path, *, store: bool = True) -> None:
        super().__init__(root)
        self.root = root
        self.config = root / "config"
        self.config.mkdir()
        if store:
            self.create()

    def gate(self, *, asks: bool = False) -> Gate:
        return Gate(store=self.store(), config=OwnDirectories(self.config), asks=asks)

    def project(self, name: str, allow: object = "*", *, scope: str = SHARED) -> Path:
        directory = self.root / "work" / name
        (directory / ".claude").mkdir(parents=True, exist_ok=True)
        content = {"allow": allow} if scope == SHARED else {"scope": scope, "allow": allow}
        (directory / ".claude" / "secrets.yml").write_text(yaml.safe_dump(content))
        return directory

    def linked(self, main: Path, name: str, allow: object = "*", *, scope: str = SHARED) -> Path:
        """Create a project whose files make it a linked git work tree of another project."""
        tree = self.project(name, allow, scope=scope)
        make_linked(main, tree, name)
        return tree

    def person(self, project: Path | None = None, *, scope: str = SHARED) -> Person:
        return Person(store=self.store(), project=located(project) if project else None, scope=scope)

    def write_limit(self, per_minute: int, tools: Sequence[str] = ("set_secret", "input_secret")) -> None:
        rules = {tool: {"rules": [{"rate_limit": f"{per_minute}/minute"}]} for tool in tools}
        (self.config / "policy.yml").write_text(yaml.safe_dump({"version": "1", "default": "allow", "tools": rules}))

    def rows(self) -> list[str]:
        """Return all rows of the store's tables, except the log and the head that counts it."""
        connection = sqlite3.connect(self.path)
        try:
            return [line for line in connection.iterdump() if not line.startswith(_OF_THE_LOG)]
        finally:
            connection.close()

    def stored_bytes(self) -> bytes:
        """Return every byte in the store's directory."""
        return b"".join(path.read_bytes() for path in sorted(self.path.parent.iterdir()))


def at(project: Path) -> CallOrigin:
    return CallOrigin(argument=project, environment=None, root=None, working_directory=project)


def located(project: Path) -> Project:
    return locate(at(project), homes=home_directories())


def enter(gate: Gate, call: Call, project: Path, value: str, access: Access = Access.READABLE) -> Outcome:
    """Let the gate ask the person for a value, and enter the value."""
    outcome = gate.call(call, at(project))
    assert isinstance(outcome, Ask)
    assert isinstance(outcome.question, InputQuestion)
    return gate.call(call, at(project), Entered(value=value, access=access, question=outcome.question))


def allowlist(project: Path) -> Allowlist:
    return parse_allowlist((project / ".claude" / "secrets.yml").read_bytes())


def decided(gate: Gate, call: Call, project: Path, answer: Answer | None = None) -> Outcome:
    """Return the outcome of a call. If it needs consent, the person gives `answer`; without it, nobody can be asked."""
    outcome = gate.call(call, at(project), answer)
    if answer is None and isinstance(outcome, Ask) and isinstance(outcome.question, ConsentQuestion):
        nobody = Declined(digest=outcome.question.digest, channel=Channel.NONE, said_no=False)
        return gate.call(call, at(project), nobody)
    return outcome


class Agent:
    """The agents of one project, calling tools at the gate."""

    def __init__(self, world: World, project: Path) -> None:
        self.gate = world.gate()
        self.project = project

    def __call__(
        self, tool: Tool, name: str = "", *, value: str = "", pattern: str = "", answer: Answer | None = None
    ) -> Outcome:
        return decided(self.gate, Call(tool=tool, name=name, value=value, pattern=pattern), self.project, answer)

    def enter(self, name: str, value: str) -> Outcome:
        return enter(self.gate, Call(tool=Tool.INPUT_SECRET, name=name), self.project, value)

    def get(self, name: str) -> str:
        return self.done(Tool.GET_SECRET, name).text

    def set(self, name: str, value: str) -> str:
        return self.done(Tool.SET_SECRET, name, value=value).text

    def names(self) -> list[str]:
        names = self.done(Tool.LIST_SECRETS).data["names"]
        assert isinstance(names, list)
        return names

    def done(self, tool: Tool, name: str = "", *, value: str = "", pattern: str = "") -> Done:
        outcome = self(tool, name, value=value, pattern=pattern)
        assert isinstance(outcome, Done), outcome
        return outcome

    def refused(self, tool: Tool, name: str = "", *, value: str = "", pattern: str = "") -> Code:
        outcome = self(tool, name, value=value, pattern=pattern)
        assert isinstance(outcome, Refused), outcome
        return outcome.error.code


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
    """Return the value of every secret that is not deleted, by name, and verify all histories."""
    with store.read() as tx:
        found, _ = records.verify_all(tx)
        return {record.name: records.value(tx, record) for record in found if not record.deleted}


def command(path: Path, *step: str) -> list[str]:
    """Return the command line that takes one step on the store at `path`."""
    return [sys.executable, "-m", "tests.support.store_world", str(path), *step]


def _person_get(store: Store, name: str) -> str:
    warnings: list[str] = []
    value = secrets.get_value(Person(store=store), name, warn=warnings.append)
    return f"{value} ({len(warnings)} warnings)"


def _limited_put(store: Store, name: str, letter: str, count: str) -> str:
    if sys.platform != "win32":  # Windows has no such limits
        import resource

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
