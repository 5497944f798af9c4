"""Compare the gate and the store with a dictionary, in random steps that Hypothesis chooses.

Two servers (each a gate with its own connection) and the person act on one store. In between, processes are killed in
the middle of a write, transactions fail, grants are given and revoked, and the data key is replaced.
"""

import os
import shutil
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from claude_secrets.errors import CallerError, Code
from claude_secrets.model import PERSON, SHARED, Access, Call, Done, EnteredBy, Refused, Tool
from claude_secrets.person import history, inspection, secrets, trust
from claude_secrets.person.person import Person
from claude_secrets.store import records
from tests.person.test_keys import rotated
from tests.support.rounds import rounds
from tests.support.store_world import Agent, World, at

NAMES = ("A", "B")
PROJECTS = ("api", "clone")
KILLED = 9

STEPS = (Tool.SET_SECRET, Tool.GET_SECRET, Tool.DELETE_SECRET, Tool.LIST_SECRETS, "edit")
"""The steps of an agent: it calls a tool, or edits its allowlist."""

name = st.sampled_from(NAMES)
project = st.sampled_from(PROJECTS)
server = st.sampled_from([0, 1])
value = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@dataclass(frozen=True)
class Version:
    """A stored value (None for a deletion), its origin, and whether an agent stored it."""

    value: str | None
    origin: str
    by_agent: bool


@dataclass
class Secret:
    """The state that the model expects of one secret."""

    access: Access = Access.READABLE
    versions: list[Version] = field(default_factory=list)

    @property
    def current(self) -> Version:
        return self.versions[-1]

    @property
    def is_there(self) -> bool:
        return self.current.value is not None


class Machine(RuleBasedStateMachine):
    """The real store, and the dictionary that predicts its content."""

    values = Bundle("values")

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.world = World(self.root)
        self.world.write_limit(1_000_000)
        self.projects = {each: self.world.project(each) for each in PROJECTS}
        self.agents = {(each, number): Agent(self.world, self.projects[each]) for each in PROJECTS for number in (0, 1)}
        self.allowed = {each: frozenset(NAMES) for each in PROJECTS}
        self.secrets: dict[str, Secret] = {}
        self.grants: set[tuple[str, str]] = set()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            for agent in self.agents.values():
                agent.gate.close()
            self.world.close()
            shutil.rmtree(self.root)

    # The model

    def identity(self, project: str) -> str:
        return str(self.projects[project].resolve())

    def trusts(self, project: str, name: str) -> bool:
        secret = self.secrets.get(name)
        return secret is None or secret.current.origin == self.identity(project) or (project, name) in self.grants

    def refusal(self, project: str, name: str) -> Code | None:
        if name not in self.allowed[project]:
            return Code.NOT_ALLOWLISTED
        return None if self.trusts(project, name) else Code.NOT_TRUSTED

    def is_shown(self, project: str, name: str) -> bool:
        return self.secrets[name].is_there and self.refusal(project, name) is None

    def stored(self, name: str, value: str, origin: str, *, by_agent: bool) -> None:
        secret = self.secrets.setdefault(name, Secret())
        if secret.versions:
            before = secret.current
            if by_agent or not (before.value is None or before.by_agent):
                origin = before.origin
            if before.value == value and not (by_agent and secret.access is Access.USE_ONLY):
                secret.versions[-1] = Version(value, origin, before.by_agent)
                return
        secret.versions.append(Version(value, origin, by_agent))

    def person(self, project: str | None = None) -> Person:
        return self.world.person(None if project is None else self.projects[project])

    # Steps of agents

    @rule(
        project=project,
        server=server,
        steps=st.lists(st.tuples(st.sampled_from(STEPS), name, value), min_size=1, max_size=8),
    )
    def an_agent_works(self, project: str, server: int, steps: list[tuple[str, str, str]]) -> None:
        """Do several steps with no other process in between, to test the server's cache of unchanged data."""
        for step, name, value in steps:
            if step == "edit":
                self.allowed[project] ^= {name}
                self.world.project(project, sorted(self.allowed[project]))
            else:
                self.an_agent_calls(self.agents[project, server], project, Tool(step), name, value)

    @rule(project=project, server=server, name=name, value=values)
    def an_agent_sets_a_value_again(self, project: str, server: int, name: str, value: str) -> None:
        self.an_agent_calls(self.agents[project, server], project, Tool.SET_SECRET, name, value)

    def an_agent_calls(self, agent: Agent, project: str, tool: Tool, name: str, value: str) -> None:
        if tool is Tool.LIST_SECRETS:
            assert agent.names() == [one for one in sorted(self.secrets) if self.is_shown(project, one)]
            return
        outcome, refused = (
            agent(tool, name, value=value if tool is Tool.SET_SECRET else ""),
            self.refusal(project, name),
        )
        secret = self.secrets.get(name)
        if refused is None and tool is Tool.GET_SECRET:
            if secret is None or not secret.is_there:
                refused = Code.NOT_FOUND
            elif secret.access is Access.USE_ONLY:
                refused = Code.USE_ONLY
        assert refused == (outcome.error.code if isinstance(outcome, Refused) else None)
        if refused is not None:
            return
        assert isinstance(outcome, Done)
        if tool is Tool.SET_SECRET:
            self.stored(name, value, self.identity(project), by_agent=True)
        elif tool is Tool.GET_SECRET:
            assert secret is not None
            assert outcome.text == secret.current.value
        else:
            there = secret is not None and secret.is_there
            assert outcome.data["deleted"] is there
            if secret is not None and there:
                secret.versions.append(Version(None, secret.current.origin, by_agent=True))

    # Steps of the person

    @rule(target=values, project=st.none() | project, name=name, value=value)
    def the_person_sets(self, project: str | None, name: str, value: str) -> str:
        secrets.set_value(self.person(project), name, value)
        self.stored(name, value, self.identity(project) if project else PERSON, by_agent=False)
        if project and self.secrets[name].current.origin != self.identity(project):
            self.grants.add((project, name))
        return value

    @rule(name=name)
    def the_person_deletes(self, name: str) -> None:
        secret = self.secrets.get(name)
        assert secrets.delete(self.person(), name) is (secret is not None and secret.is_there)
        if secret is not None and secret.is_there:
            secret.versions.append(Version(None, secret.current.origin, by_agent=False))

    @rule(name=name)
    def the_person_restores(self, name: str) -> None:
        secret = self.secrets.get(name)
        earlier = [one for one in secret.versions[:-1] if one.value is not None][-1:] if secret else []
        if secret is None or not earlier:
            with pytest.raises(CallerError):
                history.restore_version(self.person(), name)
            return
        history.restore_version(self.person(), name)
        if secret.current.value != earlier[0].value:
            secret.versions.append(earlier[0])

    @rule(name=name)
    def the_person_purges(self, name: str) -> None:
        if name not in self.secrets:
            with pytest.raises(CallerError):
                history.purge(self.person(), name)
            return
        history.purge(self.person(), name)
        del self.secrets[name]
        self.grants = {grant for grant in self.grants if grant[1] != name}

    @rule(project=project, name=name)
    def the_person_allows(self, project: str, name: str) -> None:
        trust.allow(self.person(project), name)
        self.grants.add((project, name))

    @rule(project=project, name=name)
    def the_person_revokes(self, project: str, name: str) -> None:
        trust.revoke(self.person(project), name)
        self.grants.discard((project, name))

    @rule(name=name, access=st.sampled_from(Access))
    def the_person_says_who_may_read(self, name: str, access: Access) -> None:
        if name in self.secrets and self.secrets[name].is_there:
            secrets.set_access(self.person(), [name], access)
            self.secrets[name].access = access

    @rule()
    def the_data_key_is_replaced(self) -> None:
        rotated(self.person())

    # Faults

    @rule(name=name, value=value)
    def a_write_fails(self, name: str, value: str) -> None:
        class FailError(Exception):
            pass

        def fail() -> None:
            with self.person().store.write() as tx:
                entered_by, origin = EnteredBy.AGENT, PERSON
                records.put(tx, scope=SHARED, name=name, value=value, origin=origin, entered_by=entered_by)
                raise FailError

        with pytest.raises(FailError):
            fail()

    @rule(project=project, name=name, value=value, steps=st.integers(1, 40))
    def a_server_is_killed_as_it_sets(self, project: str, name: str, value: str, steps: int) -> None:
        if not self._is_killed_as_it_sets(project, name, value, steps):
            return
        before = self.secrets.get(name)
        now = self._current(name)
        if now != (before.current.value if before else None):
            assert now == value
            self.stored(name, value, self.identity(project), by_agent=True)
        elif now == value:  # unknown: the same value may have been stored again
            self.an_agent_calls(self.agents[project, 0], project, Tool.SET_SECRET, name, value + "!")

    def _is_killed_as_it_sets(self, project: str, name: str, value: str, steps: int) -> bool:
        """Kill a server as it sets a value. Do nothing and return False if it may not set it, or on Windows."""
        killed = False
        if sys.platform != "win32" and self.refusal(project, name) is None:
            child = os.fork()
            if child == 0:
                self._set_and_die(project, name, value, steps)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == KILLED
            killed = True
        return killed

    def _set_and_die(self, project: str, name: str, value: str, steps: int) -> None:
        """Set a value in a child process, which exits at SQL statement number `steps` or right after the last one."""
        left = steps

        def count(_statement: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os._exit(KILLED)

        try:
            gate = self.world.gate()
            gate.call(Call(tool=Tool.LIST_SECRETS), at(self.projects[project]))
            connection = gate._store._connection
            assert connection is not None
            connection.sqlite.set_trace_callback(count)
            gate.call(Call(tool=Tool.SET_SECRET, name=name, value=value), at(self.projects[project]))
        finally:
            os._exit(KILLED)

    def _current(self, name: str) -> str | None:
        with closing(self.world.store()) as store, store.read() as tx:
            record = records.find(tx, SHARED, name)
            return None if record is None or record.deleted else records.value(tx, record)

    @invariant()
    def the_store_is_what_the_dictionary_says(self) -> None:
        if not hasattr(self, "world"):
            return
        person = self.person()
        inspection.check_store(person)
        with person.store.read() as tx:
            found = {
                record.name: (
                    record.origin,
                    record.access,
                    [None if one.flag("deleted") else one.payload.decode() for _, one in records.rows(tx, record)],
                )
                for record in records.iterate_all(tx)
            }
        assert found == {
            one: (secret.current.origin, secret.access, [version.value for version in secret.versions])
            for one, secret in self.secrets.items()
        }
        assert self.grants == {(Path(grant.project).name, grant.name) for grant in trust.list_grants(person)}
        person.store.close()


TestModel = Machine.TestCase
TestModel.settings = settings(max_examples=rounds(15, 200))
