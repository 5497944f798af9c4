"""A store with a history, for tests in which an attacker changes it without its key.

Always: the program itself makes the history, through the interfaces of agents and the person. Every row has a name
here. For each moment, the scenario records what agents can see.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeAlias

from claude_secrets.errors import SecretsError
from claude_secrets.keys.cipher import Cipher, unwrap, wrap
from claude_secrets.model import (
    Access,
    Ask,
    Call,
    Done,
    InputQuestion,
    Outcome,
    Refused,
    Tool,
)
from claude_secrets.person import inspection, secrets, trust
from claude_secrets.person.person import Person
from claude_secrets.store import key_slots
from claude_secrets.store.audit import AuditLog, LogEvent
from tests.support import sqlite_attacker as attacker
from tests.support.sqlite_attacker import Key
from tests.support.store_world import World, at, decided, enter, located

Seen: TypeAlias = dict[str, str]
"""The result of each action that an agent tried."""

ROWS = {
    "store": ["the one row"],
    "key_slots": ["first", "second"],
    "records": ["AGENT", "OWN", "FOREIGN", "ELSEWHERE", "DROPPED", "GUARDED", "BORROWED", "NEW", "acme TOKEN"],
    "versions": [
        *("AGENT 1", "AGENT 2", "OWN 1", "FOREIGN 1", "ELSEWHERE 1", "DROPPED 1", "DROPPED 2"),
        *("GUARDED 1", "BORROWED 1", "NEW 1", "NEW 2", "acme TOKEN 1"),
    ],
    "grants": ["api uses FOREIGN", "api uses GUARDED", "acme claims acme-dev"],
    "counters": ["api set_secret", "api input_secret", "api bytes"],
    "audit": [f"event {number}" for number in range(1, 26)],
}
"""The rows that are in the file at the end, by table."""

NAMES = ["AGENT", "OWN", "FOREIGN", "ELSEWHERE", "DROPPED", "GUARDED", "BORROWED", "OLD", "NEW", "NEVER"]


class TamperingScenario(World):
    """The world in which the history happens."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.projects = {name: self.project(name) for name in ("api", "clone")}
        self.projects["acme"] = self.project("acme", scope="acme-dev")
        self.identities = {name: located(project).identity for name, project in self.projects.items()}
        self.write_limit(6)
        self.moments: dict[str, Path] = {}
        self._live()
        self.final = self.moments["the end"]
        self.known = {moment: self._seen_at(moment) for moment in self.moments}
        self.past = {moment: attacker.all_rows(copy) for moment, copy in self.moments.items()}

    def close(self) -> Self:
        super().close()
        self._stores.clear()  # closing all of them again each time takes too long
        return self

    def _person(self, name: str | None = None, *, scope: str = "shared") -> Person:
        return self.person(self.projects[name] if name else None, scope=scope)

    def _agent(self, tool: Tool, name: str, value: str = "") -> None:
        call = Call(tool=tool, name=name, value=value)
        outcome = self.gate().call(call, at(self.projects["api"]))
        assert isinstance(outcome, Done), outcome

    def _live(self) -> None:
        """Make the history: a start, then one change of each kind, with a copy of the file before each change."""
        secrets.set_value(self._person(), "FOREIGN", "f")
        secrets.set_value(self._person(), "ELSEWHERE", "e")
        secrets.set_value(self._person(), "BORROWED", "b")
        secrets.set_value(self._person(), "GUARDED", "g")
        secrets.set_value(self._person("api"), "OWN", "o")
        secrets.set_value(self._person("acme", scope="acme-dev"), "TOKEN", "a")
        trust.allow(self._person("api"), "BORROWED")
        trust.allow(self._person("api"), "GUARDED")
        for value in ("1", "2"):
            secrets.set_value(self._person("api"), "OLD", value)
        self._add_slot()
        self._log("done")
        self._log("refused")
        self._agent(Tool.SET_SECRET, "AGENT", "first")
        self._agent(Tool.SET_SECRET, "DROPPED", "d")
        enter(self.gate(), Call(tool=Tool.INPUT_SECRET, name="OWN"), self.projects["api"], "o")
        changes: dict[str, Callable[[], object]] = {
            "set": lambda: self._agent(Tool.SET_SECRET, "AGENT", "second"),
            "delete": lambda: self._agent(Tool.DELETE_SECRET, "DROPPED"),
            "access change": lambda: secrets.set_value(self._person(), "GUARDED", "g", Access.USE_ONLY),
            "grant": lambda: trust.allow(self._person("api"), "FOREIGN"),
            "revoke": lambda: trust.revoke(self._person("api"), "BORROWED"),
            "counter": lambda: self._agent(Tool.SET_SECRET, "AGENT", "second"),
            "rename": lambda: secrets.rename(self._person(), "OLD", "NEW"),
            "key slot": lambda: self._add_slot(replacing=True),
            "event": lambda: self._log("done"),
        }
        for change, make in changes.items():
            self._remember(change)
            make()
        self._remember("the end")

    def _remember(self, moment: str) -> None:
        """Keep the file as it is before `moment`."""
        self.close()
        self.moments[moment] = self.root / f"before {moment}.db"
        shutil.copyfile(self.path, self.moments[moment])

    def _log(self, outcome: str) -> None:
        event = LogEvent(caller="agent", action="get_secret", outcome=outcome, project="/work/api", name="AGENT")
        with self.store().write() as tx:
            AuditLog().add(tx, event)

    def _add_slot(self, *, replacing: bool = False) -> None:
        """Do what a rotation of the master key does: wrap the data key again, and record it in the head."""
        master_key = self.key_file.read_bytes().strip()
        with self.store().write() as tx:
            slots = key_slots.list_all(tx)
            first = slots[0]
            bound = {"store_id": tx.cipher.store_id, "slot_kind": first.kind}
            data_key = unwrap(master_key, first.wrapped, slot_id=first.slot_id, **bound)
            slot_id = slots[-1].slot_id if replacing else "f" * 16
            wrapped = wrap(master_key, data_key, slot_id=slot_id, now=self.time, **bound)
            row = (slot_id, first.kind, first.params, wrapped)
            tx.connection.execute("INSERT OR REPLACE INTO key_slots VALUES (?, ?, ?, ?)", row)
            tx.amend(slots=tx.table_digest("key_slots"))

    def _seen_at(self, moment: str) -> Seen:
        with self.attacked(self.root / "look", self.moments[moment]) as scene:
            return scene.seen()

    def keys(self) -> dict[str, dict[str, Key]]:
        """Return the key of each row in `ROWS`. Needs the data key: an attacker does not know which row is which."""
        with self.store().read() as tx:
            cipher = tx.cipher
            slots = sorted(slot.slot_id for slot in key_slots.list_all(tx))
        found: dict[str, dict[str, Key]] = {"store": {"the one row": (1,)}}
        found["key_slots"] = {label: (slot,) for label, slot in zip(("first", "second"), slots, strict=True)}
        found["records"] = {label: (_record(cipher, label),) for label in ROWS["records"]}
        versions = [label.rpartition(" ") for label in ROWS["versions"]]
        found["versions"] = {f"{name} {number}": (_record(cipher, name), int(number)) for name, _, number in versions}
        api, acme = self.identities["api"], self.identities["acme"]
        parts = [(api, "shared", "FOREIGN"), (api, "shared", "GUARDED"), (acme, "acme-dev", "")]
        found["grants"] = {
            label: (cipher.index("grant", *part),) for label, part in zip(ROWS["grants"], parts, strict=True)
        }
        counted = {f"api {tool}": f"person:/tools/{tool}/rules/0:60" for tool in (Tool.SET_SECRET, Tool.INPUT_SECRET)}
        found["counters"] = {
            label: (cipher.index("counter", api, what),) for label, what in {**counted, "api bytes": "bytes"}.items()
        }
        found["audit"] = {label: (number,) for number, label in enumerate(ROWS["audit"], start=1)}
        self.close()
        return found

    @contextmanager
    def attacked(self, directory: Path, source: Path | None = None) -> "Iterator[Scene]":
        """Yield a copy of the file for an attack, with its agents and the person. By default, copy the final file."""
        directory.mkdir(exist_ok=True)
        path = Path(shutil.copyfile(source or self.final, directory / "secrets.db"))
        path.chmod(0o600)
        usual, self.path = self.path, path
        try:
            yield Scene(self)
        finally:
            self.close()
            assert not path.with_name("secrets.db-wal").exists()
            self.path = usual


class Scene:
    """The agents of all projects, and the person, on one copy of the file."""

    def __init__(self, scenario: TamperingScenario) -> None:
        self._victim = scenario
        self.path = scenario.path
        self._gate = scenario.gate()

    def restart(self) -> None:
        """Continue with new processes, which have to open the store and fetch its key."""
        self._victim.close()
        self._gate = self._victim.gate()

    def warm_up(self) -> None:
        """Let the server read everything once, so that it runs with the key in memory."""
        for name in ("list api", "list acme", "ask", *(f"get {name}" for name in NAMES)):
            self.try_(name)

    def try_(self, what: str) -> str:
        """Try one action as an agent, and return the result in words."""
        verb, _, rest = what.partition(" ")
        match verb:
            case "list":
                outcome = self._call(Tool.LIST_SECRETS, project=rest)
            case "get":
                name, _, project = rest.partition(" from ")
                outcome = self._call(Tool.GET_SECRET, name, project=project or "api")
            case "ask":
                outcome = self._call(Tool.INPUT_SECRET, "OWN")
            case "delete":
                outcome = self._call(Tool.DELETE_SECRET, rest)
            case _:
                outcome = self._call(Tool.SET_SECRET, "AGENT", value=what)
        if isinstance(outcome, Refused):
            return str(outcome.error.code)
        if isinstance(outcome, Ask):
            assert isinstance(outcome.question, InputQuestion)
            return f"asks, replacing version {outcome.question.replaces}, {outcome.question.access}"
        return f"{outcome.text} {dict(outcome.data)}"

    def seen(self) -> Seen:
        """Try every action of agents: first reading, then changes, and then reading again."""
        tries = ["list api", "list clone", "list acme", *(f"get {name}" for name in NAMES), "get TOKEN from acme"]
        tries += ["get OWN from clone", "ask", "set", "set again", "set once more", "delete OWN", "get OWN", "list api"]
        return {f"{number} {what}": self.try_(what) for number, what in enumerate(tries)}

    def check(self) -> str:
        """Return what `doctor` finds in a separate process: a code, or "whole"."""
        self.restart()
        try:
            inspection.check_store(Person(store=self._victim.store()))
        except SecretsError as error:
            return str(error.code)
        return "whole"

    def _call(self, tool: Tool, name: str = "", *, value: str = "", project: str = "api") -> Outcome:
        return decided(self._gate, Call(tool=tool, name=name, value=value), self._victim.projects[project])


def _record(cipher: Cipher, label: str) -> bytes:
    project, _, name = label.rpartition(" ")
    return cipher.index("record", "acme-dev" if project else "shared", name)


def moment_of(path: Path, scenario: TamperingScenario) -> str | None:
    """Return the moment of the history that the file at `path` equals, if any."""
    found = attacker.all_rows(path)
    return next((moment for moment, rows in scenario.past.items() if rows == found), None)
