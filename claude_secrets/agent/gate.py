"""The agents' doorway: one call in, `Done`, `Refused` or `Ask` out. The only way for an agent to a secret.

Always: project, allowlist and rules are read anew for each call, and again inside its transaction; the decision comes
before the look-up and does not depend on whether the name exists; a question is returned, never put, with no
transaction open; what is not logged is not done. One thread uses one gate.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress

from claude_secrets import paths
from claude_secrets.agent import consent, rate_limits, replies
from claude_secrets.agent.consent import Case, SessionReads
from claude_secrets.agent.rate_limits import Spent
from claude_secrets.agent.visible import Values, shown, values
from claude_secrets.errors import SecretsError
from claude_secrets.model import (
    Access,
    Answer,
    Ask,
    Call,
    Declined,
    Done,
    Entered,
    EnteredBy,
    InputQuestion,
    Outcome,
    Refused,
    Tool,
    check_name,
    check_value,
)
from claude_secrets.paths import OwnDirectories
from claude_secrets.policy import refusals
from claude_secrets.policy.config import Trust
from claude_secrets.policy.directories import Directories
from claude_secrets.policy.grounds import key_file_inside, policy_file_inside, refuse_inside, store_inside
from claude_secrets.policy.project import Project, Whereabouts, locate
from claude_secrets.policy.snapshot import Check, Setting, SettingReader
from claude_secrets.regex import NameSearch
from claude_secrets.store import records
from claude_secrets.store.audit import AuditLog, Event
from claude_secrets.store.store import Store
from claude_secrets.store.transaction import Transaction

VISIBLE_LIMIT = 1000
"""Names that one list or search returns, at most."""

_READING = (Tool.GET_SECRET, Tool.LIST_SECRETS, Tool.SEARCH_SECRETS)


class _Logged:
    """What becomes one event of the log while a call is carried out, and where that happens."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self.setting: Setting | None = None

    def at(self, setting: Setting, name: str = "") -> None:
        """Say where it happens, and to what."""
        self.setting = setting
        self.event = self.event._replace(project=setting.identity, scope=setting.scope, name=name)


class Gate:
    """Carries out the six tools for the agents of whatever project a call comes from.

    `config` are the directories of the person's own files; `tighten` and `check` as in `SettingReader`;
    `directories` is what this process has seen of directories so far.
    """

    def __init__(
        self, *, store: Store, config: OwnDirectories, tighten: Trust = Trust.OFF, check: Check | None = None
    ) -> None:
        self._store = store
        self._config = config
        self._homes = paths.home_directories()
        self._command = paths.command()
        self._settings = SettingReader(config, self._command, tighten, check)
        self._log = AuditLog()
        self._session = SessionReads()
        self.directories = Directories()
        self._guarded: tuple[Whereabouts, Project] | None = None

    def start(self, where: Whereabouts) -> None:
        """Note the directories that this process was started with, unless it is for one call only."""
        with suppress(SecretsError):  # what is wrong is told with each call
            self.directories.start(where)
            self._find(where)

    def close(self) -> None:
        """Close the store and forget its key."""
        self.directories.close()
        self._store.close()

    def hidden(self, where: Whereabouts) -> frozenset[Tool]:
        """The tools that the policies of this place hide; none where they cannot be read, for then all is denied."""
        try:
            return self._settings.read(where, self._locate(where)).hidden
        except SecretsError:
            return frozenset()

    def entered_by_person(self, where: Whereabouts, names: Iterable[str]) -> frozenset[str]:
        """Those of the names that the agents are shown whose current values the person entered.

        Raises `SecretsError` as a call does.
        """
        setting = self._settings.read(where, self._locate(where))
        with self._store.read() as tx:
            found = (records.find(tx, setting.scope, name) for name in names)
            return frozenset(one.name for one in found if one is not None and one.entered_by is EnteredBy.PERSON)

    def every_value(self, where: Whereabouts) -> Values:
        """All values of the store, to take them out of other texts: never to be handed out.

        A project that cannot be read is shown no names. Raises `SecretsError` if the store cannot be read.
        """
        if not self._store.exists():
            return Values({}, frozenset(), frozenset())
        setting = self._readable_setting(where)
        self._store.unlock()
        with self._store.read() as tx:
            return values(tx, setting)

    def _readable_setting(self, where: Whereabouts) -> Setting | None:
        """The setting, where there is a project whose file and whose person's files can be read."""
        try:
            project = self._find(where)
        except SecretsError:
            return None
        self._guard(where, project)
        try:
            return self._settings.read(where, project)
        except SecretsError:
            return None

    def call(self, call: Call, where: Whereabouts, answer: Answer | None = None, *, client: str = "") -> Outcome:
        """Carry out one call; `answer` is what the person said where an earlier try returned `Ask`.

        `client` is what the agent's program calls itself. Every `SecretsError` becomes `Refused`; anything else that
        is raised is a fault of ours.
        """
        channel = "" if answer is None else answer.channel
        action = "exec" if call.use else call.tool.value
        logged = _Logged(Event(caller="agent", action=action, outcome="", client=client, channel=channel))
        try:
            return self._carry_out(call, where, answer, logged)
        except SecretsError as error:
            self._log_refusal(call, answer, logged, error)
            return Refused(error)

    def _carry_out(self, call: Call, where: Whereabouts, answer: Answer | None, logged: _Logged) -> Outcome:
        project = self._locate(where)
        if not self._store.unlocked:  # nobody is asked for a key on behalf of what has no allowlist
            logged.at(self._settings.read(where, project))
        there = self._store.exists()
        if there:
            self._store.unlock()
        act = self._prepared(call, answer)
        if not there:
            outcome = self._without_store(call, answer, self._settings.read(where, project))
            if outcome is not None:
                return outcome
        with self._store.write(durable=call.tool not in _READING) as tx:
            # As it is now: it may have changed while the key was fetched.
            setting = consent.standing(tx, self._settings.read(where, project))
            logged.at(setting, call.name)
            verdict = setting.decide(call)
            record = records.find(tx, setting.scope, call.name) if call.name else None
            case = Case(call, setting, verdict, record)
            spent = rate_limits.check(tx, projects=setting.counted_as, applied=verdict.limits, tool=call.tool)
            spent += _spent_on(tx, setting, answer.value if isinstance(answer, Entered) else call.value)
            ask = consent.settle(tx, case, self._session, answer)
            case = case._replace(setting=consent.standing(tx, setting))  # a yes may have changed as whom it counts
            outcome = act(tx, case) if ask is None else ask
            if isinstance(outcome, Done):
                rate_limits.spend(tx, spent)
            self._log.add(tx, _with_outcome(logged.event, outcome))
        return outcome

    def _locate(self, where: Whereabouts) -> Project:
        project = self._find(where)
        self._guard(where, project)
        return project

    def _find(self, where: Whereabouts) -> Project:
        self.directories.check(where)
        project = locate(where, homes=self._homes, command=self._command)
        self.directories.check_project(where, project.path)
        return project

    def _guard(self, where: Whereabouts, project: Project) -> None:
        """Refuse a store, a key file and files of the person's own that the project itself could have brought along."""
        if (where, project) == self._guarded:
            return
        refuse_inside(self._store.path, store_inside, where, project, self._homes)
        for directory in self._config.all():
            refuse_inside(directory, policy_file_inside, where, project, self._homes)
        for key_file in self._store.key_files():
            refuse_inside(key_file, key_file_inside, where, project, self._homes)
        if self._store.exists():
            self._guarded = (where, project)

    def _prepared(self, call: Call, answer: Answer | None) -> Callable[[Transaction, Case], Outcome]:
        """What carries out a call whose arguments are in order."""
        if call.tool is Tool.LIST_SECRETS:
            return self._list
        if call.tool is Tool.SEARCH_SECRETS:
            search = NameSearch(call.pattern)
            return lambda tx, case: self._list(tx, case, search)
        check_name(call.name)
        if call.tool is Tool.SET_SECRET:
            check_value(call.value)
            return self._set
        if isinstance(answer, Entered):
            check_value(answer.value)
            return lambda tx, case: self._enter(tx, case, answer)
        if call.tool is Tool.INPUT_SECRET:
            return lambda _, case: Ask(self._question(case))
        return self._get if call.tool is Tool.GET_SECRET else self._delete

    def _get(self, tx: Transaction, case: Case) -> Done | Refused:
        record = case.record
        if record is None or record.deleted:
            return Refused(replies.not_found(case.call.name))  # not raised: a yes of the person's is kept
        return Done(text=records.value(tx, record), data={"version": record.version})

    def _set(self, tx: Transaction, case: Case) -> Done:
        name = case.call.name
        stored = records.put(
            tx,
            scope=case.setting.scope,
            name=name,
            value=case.call.value,
            origin=case.setting.identity,
            entered_by=EnteredBy.AGENT,
            access=case.setting.config.default_access if case.record is None else None,
            repeats=not self._may_tell(case),
            keep=case.setting.config.keep_versions,
        )
        verb = "Stored" if stored.changed else "Nothing to change: the store has this value for"
        return replies.stored(f"{verb} '{name}' (version {stored.version}).", stored)

    @staticmethod
    def _may_tell(case: Case) -> bool:
        """Whether storing may tell that the value was there already: not where reading it would need more."""
        verdict = case.setting.verdict(Call(tool=Tool.GET_SECRET, name=case.call.name))
        return not (consent.reads_use_only(case) or verdict.refused_by or verdict.approvals)

    def _delete(self, tx: Transaction, case: Case) -> Done:
        name, record = case.call.name, case.record
        if record is None or record.deleted:
            return replies.nothing_to_delete(name)
        records.delete(tx, record, entered_by=EnteredBy.AGENT, keep=case.setting.config.keep_versions)
        return Done(
            text=f"Deleted '{name}'. The person can bring it back with `{self._command} restore {name}`.",
            data={"deleted": True},
        )

    def _list(self, tx: Transaction, case: Case, search: NameSearch | None = None) -> Done:
        """The names that exist, that the allowlist has and that this project is trusted with, sorted."""
        readable = shown(tx, case.setting)
        found = list(readable) if search is None else search.among(list(readable))
        names = found[:VISIBLE_LIMIT]
        use_only = [name for name in names if not readable[name]]
        return replies.names(case.call, total=len(found), names=names, use_only=use_only)

    def _without_store(self, call: Call, answer: Answer | None, setting: Setting) -> Outcome | None:
        """What a call comes to where nothing was ever stored: reading never makes a store. None: it stores, go on."""
        case = Case(call, setting, setting.decide(call), None)
        ask = consent.settle(None, case, self._session, answer)
        if ask is not None:
            return ask
        if call.tool is Tool.SET_SECRET or isinstance(answer, Entered):
            return None
        if call.tool is Tool.GET_SECRET:
            return Refused(replies.not_found(call.name))
        if call.tool is Tool.DELETE_SECRET:
            return replies.nothing_to_delete(call.name)
        if call.tool is Tool.INPUT_SECRET:
            return Ask(self._question(case))
        return replies.names(call, total=0, names=[], use_only=[])

    def _question(self, case: Case) -> InputQuestion:
        entry, record = case.setting.entry(case.call.name), case.record
        live = record if record is not None and not record.deleted else None
        config = case.setting.config
        return InputQuestion(
            name=case.call.name,
            project=str(case.setting.project.path),
            scope=case.setting.scope,
            replaces=live.version if live is not None else None,
            store=None if paths.is_usual(self._store.path, config.usual_store) else str(self._store.path),
            about=entry.about,
            url=entry.url,
            prompt=case.call.prompt,
            access=live.access if live is not None else config.default_access or Access.USE_ONLY,
        )

    def _enter(self, tx: Transaction, case: Case, answer: Entered) -> Done:
        name = case.call.name
        if self._question(case) != answer.question._replace(prompt=case.call.prompt):
            raise refusals.changed_since_shown(name)
        stored = records.put(
            tx,
            scope=case.setting.scope,
            name=name,
            value=answer.value,
            origin=case.setting.identity,
            entered_by=EnteredBy.PERSON,
            access=answer.access,
            keep=case.setting.config.keep_versions,
        )
        return replies.stored(
            f"Stored '{name}' (version {stored.version}). The value went straight to the store.", stored
        )

    def _log_refusal(self, call: Call, answer: Answer | None, logged: _Logged, error: SecretsError) -> None:
        """Note a refusal, and a person's no, where there is an open store to note it in; it stands all the same."""
        if not self._store.exists() or not self._store.unlocked:
            return
        event = logged.event._replace(outcome="refused", code=error.code.value, rule=error.rule)
        # The store may be busy, full or damaged: nothing was given out.
        with suppress(SecretsError), self._store.write(durable=False) as tx:
            self._log.add(tx, event)
            if isinstance(answer, Declined) and answer.said_no and logged.setting is not None:
                consent.remember_no(tx, logged.setting, call)


def _spent_on(tx: Transaction, setting: Setting, value: str) -> list[Spent]:
    """What a value to be stored spends."""
    config = setting.config
    return rate_limits.check_size(
        tx,
        projects=setting.counted_as,
        size=len(value.encode()),
        per_minute=config.agent_mib_per_minute * rate_limits.MIB,
        total=config.agent_mib_total * rate_limits.MIB,
    )


def _with_outcome(event: Event, outcome: Outcome) -> Event:
    match outcome:
        case Refused(error):
            return event._replace(outcome="refused", code=error.code.value, rule=error.rule)
        case Ask():
            return event._replace(outcome="asked")
        case Done():
            nothing = outcome.data.get("deleted") is False  # which an agent can do any number of times
            return event._replace(outcome="nothing" if nothing else "done")
