"""A small world for tests: a store with its key in a file, projects in directories, a clock that stands still."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import yaml

from claude_secrets.agent.gate import Gate
from claude_secrets.errors import Code
from claude_secrets.keys.custody import Custody
from claude_secrets.model import (
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
    InputQuestion,
    Outcome,
    Refused,
    Tool,
)
from claude_secrets.paths import OwnDirectories, home_directories
from claude_secrets.person.person import Person
from claude_secrets.policy.allowlist import Allowlist, parse_allowlist
from claude_secrets.policy.project import Whereabouts, locate
from claude_secrets.store.store import Store
from tests.support.disk import make_linked

_OF_THE_LOG = tuple(f'INSERT INTO "{table}"' for table in ("audit", "store"))


class World:
    """One person's machine under a temporary directory."""

    def __init__(self, root: Path, *, store: bool = True) -> None:
        self.root = root
        self.time = 1_800_000_000.0
        self.store_path = root / "data" / "secrets.db"
        self.key_file = root / "keys" / "master.key"
        self.config = root / "config"
        self.config.mkdir()
        self.key_file.parent.mkdir()
        self._stores: list[Store] = []
        if store:
            self.store().create_with_key_file(self.key_file)

    def store(self) -> Store:
        self._stores.append(Store(self.store_path, Custody(environment={}), lambda: self.time))
        return self._stores[-1]

    def close(self) -> None:
        for store in self._stores:
            store.close()

    def gate(self) -> Gate:
        return Gate(store=self.store(), config=OwnDirectories(self.config))

    def project(self, name: str, allow: object = "*", *, scope: str = SHARED) -> Path:
        directory = self.root / "work" / name
        (directory / ".claude").mkdir(parents=True, exist_ok=True)
        content = {"allow": allow} if scope == SHARED else {"scope": scope, "allow": allow}
        (directory / ".claude" / "secrets.yml").write_text(yaml.safe_dump(content))
        return directory

    def linked(self, main: Path, name: str, allow: object = "*", *, scope: str = SHARED) -> Path:
        """A project that is a linked git work tree of another one, as far as files tell."""
        tree = self.project(name, allow, scope=scope)
        make_linked(main, tree, name)
        return tree

    def person(self, project: Path | None = None, *, scope: str = SHARED) -> Person:
        place = None
        if project is not None:
            place = locate(at(project), homes=home_directories(), command="claude-secrets")
        return Person(store=self.store(), project=place, scope=scope)

    def write_limit(self, per_minute: int, tools: Sequence[str] = ("set_secret", "input_secret")) -> None:
        rules = {tool: {"rules": [{"rate_limit": f"{per_minute}/minute"}]} for tool in tools}
        (self.config / "policy.yml").write_text(yaml.safe_dump({"version": "1", "default": "allow", "tools": rules}))

    def rows(self) -> list[str]:
        """Everything the store's tables hold, but for the log and the head that counts it."""
        connection = sqlite3.connect(self.store_path)
        try:
            return [line for line in connection.iterdump() if not line.startswith(_OF_THE_LOG)]
        finally:
            connection.close()

    def stored_bytes(self) -> bytes:
        """Every byte in the store's directory."""
        return b"".join(path.read_bytes() for path in sorted(self.store_path.parent.iterdir()))


def at(project: Path) -> Whereabouts:
    return Whereabouts(argument=project, environment=None, root=None, working_directory=project)


def enter(gate: Gate, call: Call, project: Path, value: str, access: Access = Access.READABLE) -> Outcome:
    """Have the person asked for a value, and enter it."""
    outcome = gate.call(call, at(project))
    assert isinstance(outcome, Ask)
    assert isinstance(outcome.question, InputQuestion)
    return gate.call(call, at(project), Entered(value=value, access=access, question=outcome.question))


def allowlist(project: Path) -> Allowlist:
    return parse_allowlist((project / ".claude" / "secrets.yml").read_bytes())


class Agent:
    """The agents of one project, calling tools at the gate."""

    def __init__(self, world: World, project: Path) -> None:
        self.gate = world.gate()
        self.project = project

    def __call__(
        self, tool: Tool, name: str = "", *, value: str = "", pattern: str = "", answer: Answer | None = None
    ) -> Outcome:
        """Call a tool; where the person would have to consent nobody can be asked, unless there is an answer."""
        call = Call(tool=tool, name=name, value=value, pattern=pattern)
        outcome = self.gate.call(call, at(self.project), answer)
        if answer is None and isinstance(outcome, Ask) and isinstance(outcome.question, ConsentQuestion):
            nobody = Declined(digest=outcome.question.digest, channel=Channel.NONE, said_no=False)
            return self.gate.call(call, at(self.project), nobody)
        return outcome

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
