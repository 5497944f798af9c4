"""The agents' gate takes a call and returns `Done`, `Refused` or `Ask`. Agents can reach secrets only through the gate.

Always: the project, allowlist and rules are read for each call, and are read again inside the call's transaction. A
call is decided before its secret is looked up, so the decision does not depend on whether the secret exists. The gate
never asks the person: it returns the question, and no transaction is open while the person answers. A call that cannot
be logged is not carried out. A gate is used by one thread only.
"""

from collections.abc import Iterable, MutableMapping
from contextlib import suppress

from claude_secrets import paths
from claude_secrets.agent import adding, consent, rate_limits
from claude_secrets.agent.actions import Actions
from claude_secrets.agent.consent import Case, SessionReads
from claude_secrets.agent.store_values import StoreValues, values_of_store
from claude_secrets.errors import Code, SecretsError, StoreError
from claude_secrets.model import Answer, Ask, Call, Declined, Done, Entered, EnteredBy, Outcome, Refused, Tool
from claude_secrets.paths import OwnDirectories, own_directories, store_path
from claude_secrets.policy.config import Config, Trust
from claude_secrets.policy.ownership import no_link_check
from claude_secrets.policy.personal_files import read_config
from claude_secrets.policy.pinned_directories import Directories
from claude_secrets.policy.planted import key_file_inside, policy_file_inside, refuse_inside, store_inside
from claude_secrets.policy.project import CallOrigin, Project, locate
from claude_secrets.policy.snapshot import Check, PolicySnapshot, SnapshotReader
from claude_secrets.store import records
from claude_secrets.store.audit import AuditLog, Caller, EventOutcome, LogEvent
from claude_secrets.store.store import Store
from claude_secrets.store.transaction import Transaction


class _Attempt:
    """One call that the gate is processing, with the facts for the call's audit event.

    `snapshot` is the policy that was used for the last decision on the call. `named` says that the call's name was
    checked. An unchecked name is not logged, because it may be a secret value that was passed as the name.
    """

    def __init__(self, call: Call, answer: Answer | None, client: str) -> None:
        self.call = call
        self.answer = answer
        self._client = client
        self.snapshot: PolicySnapshot | None = None
        self.named = False

    def at(self, snapshot: PolicySnapshot) -> PolicySnapshot:
        """Set the policy for the call, after the call's arguments were checked."""
        self.snapshot, self.named = snapshot, True
        return snapshot

    def event(self, outcome: Outcome) -> LogEvent:
        """The audit event of this call."""
        snapshot, result, error = self.snapshot, EventOutcome.DONE, None
        if isinstance(outcome, Refused):
            result, error = EventOutcome.REFUSED, outcome.error
        elif isinstance(outcome, Ask):
            result = EventOutcome.ASKED
        elif outcome.data.get("deleted") is False:  # nothing changed, and an agent can repeat this without limit
            result = EventOutcome.NOTHING
        return LogEvent(
            caller=Caller.AGENT,
            action="exec" if self.call.use else self.call.tool.value,
            outcome=result,
            project="" if snapshot is None else snapshot.identity,
            scope="" if snapshot is None else snapshot.scope,
            name=self.call.name if self.named else "",
            client=self._client,
            channel="" if self.answer is None else self.answer.channel,
            code="" if error is None else error.code.value,
            rule="" if error is None else error.rule,
        )

    def event_of_adding(self) -> LogEvent:
        """The audit event of the person who added the call's name to the allowlist."""
        return self.event(Done(""))._replace(caller=Caller.PERSON, action="allow")


class Gate:
    """Carries out calls of the six tools for the agents of any project.

    `config` are the directories of the person's own files. `tighten` and `check` have the same meaning as in
    `SnapshotReader`. `directories` remembers the directories that calls have named so far. If `asks` is set, the caller
    can ask the person, and `input_secret` may ask them to add a name to the allowlist.
    """

    def __init__(
        self,
        *,
        store: Store,
        config: OwnDirectories,
        tighten: Trust = Trust.OFF,
        check: Check | None = None,
        directories: Directories | None = None,
        asks: bool = False,
    ) -> None:
        self._store = store
        self._config = config
        self._homes = paths.home_directories()
        self._snapshots = SnapshotReader(config, tighten, check)
        self._log = AuditLog()
        self._session = SessionReads()
        self._actions = Actions(store.path)
        self._directories = Directories() if directories is None else directories
        self._asks = asks
        self._guarded: tuple[CallOrigin, Project] | None = None

    @classmethod
    def open(
        cls,
        environment: MutableMapping[str, str],
        *,
        store_argument: str | None = None,
        tighten: Trust = Trust.OFF,
        passphrase: str | None = None,
        directories: Directories | None = None,
        asks: bool = False,
    ) -> "Gate":
        """Make a gate. The store's path comes from `--store`, the environment or the person's `config.yml`.

        `tighten` is the trust mode from the command line's arguments; the environment can ask for a stricter mode.
        `passphrase` is used if only a passphrase opens the store. `asks` has the same meaning as for the class. This
        method does not open the store's file yet.

        Raises:
            CallerError: INVALID_ARGUMENTS if `--store` or the environment does not name a file.
            DeniedError: ALLOWLIST_INVALID if `config.yml` is refused.
        """
        own = own_directories()
        configured = read_config(own, no_link_check).store
        path = store_path(store_argument, environment, configured)
        by_config = store_argument is None and not environment.get("CLAUDE_SECRETS_STORE")

        def check(config: Config) -> None:
            if by_config and config.store != configured:
                raise _another_store()

        return cls(
            store=Store.at(path, environment, ask_passphrase=None if passphrase is None else lambda: passphrase),
            config=own,
            tighten=max(tighten, Trust.asked_for(environment.get("CLAUDE_SECRETS_TRUST"))),
            check=check,
            directories=directories,
            asks=asks,
        )

    def start(self, where: CallOrigin) -> None:
        """Remember the directories with which this process was started.

        A process that makes only one call need not call this method.
        """
        with suppress(SecretsError):  # each call reports the error
            self._directories.start(where)
            self._find(where)

    def close(self) -> None:
        """Close the store and forget its key."""
        self._directories.close()
        self._store.close()

    def hidden(self, where: CallOrigin) -> frozenset[Tool]:
        """The tools that the policies for calls from `where` hide.

        If the policies cannot be read, no tool is hidden, because every call then fails.
        """
        try:
            return self._snapshots.read(where, self._locate(where)).hidden
        except SecretsError:
            return frozenset()

    def entered_by_person(self, where: CallOrigin, names: Iterable[str]) -> frozenset[str]:
        """Return the names in `names` whose current value was entered by the person.

        Raises `SecretsError` if the project, its policy or the store cannot be read.
        """
        snapshot = self._snapshots.read(where, self._locate(where))
        with self._store.read() as tx:
            stored = (records.find(tx, snapshot.scope, name) for name in names)
            return frozenset(one.name for one in stored if one is not None and one.entered_by is EnteredBy.PERSON)

    def every_value(self, where: CallOrigin) -> StoreValues:
        """All values of the store, for redacting these values in other texts. The values must never be shown to agents.

        If the project cannot be read, the values are returned without names. Raises `SecretsError` if the store cannot
        be read.
        """
        if not self._store.exists():
            return StoreValues({}, frozenset(), frozenset())
        snapshot = self._readable_snapshot(where)
        self._store.unlock()
        with self._store.read() as tx:
            return values_of_store(tx, snapshot)

    def _readable_snapshot(self, where: CallOrigin) -> PolicySnapshot | None:
        """The snapshot, or None if the project, its file or the person's own files cannot be read."""
        try:
            project = self._find(where)
        except SecretsError:
            return None
        self._guard(where, project)
        try:
            return self._snapshots.read(where, project)
        except SecretsError:
            return None

    def call(self, call: Call, where: CallOrigin, answer: Answer | None = None, *, client: str = "") -> Outcome:
        """Carry out one call.

        If an earlier try of the same call returned `Ask`, `answer` is the person's answer to that question. `client` is
        the name that the agent's program gives itself. Every `SecretsError` is returned as `Refused`; any other
        exception is a bug.
        """
        attempt = _Attempt(call, answer, client)
        try:
            return self._carry_out(attempt, where)
        except SecretsError as error:
            refused = Refused(error)
            self._log_refusal(attempt, refused)
            return refused

    def _carry_out(self, attempt: _Attempt, where: CallOrigin) -> Outcome:
        call, answer = attempt.call, attempt.answer
        project = self._locate(where)
        if not self._store.unlocked:  # do not fetch the key for a project without an allowlist
            attempt.snapshot = self._snapshots.read(where, project)
        there = self._store.exists()
        if there:
            self._store.unlock()
        action = self._actions.of(call, answer)
        if not there:  # reading never creates a store
            self._store.refuse_removed()
            case = self._decided(None, attempt, self._snapshots.read(where, project))
            ask = consent.require_consent(None, case, self._session, answer)
            if ask is not None or not action.stores:
                return ask or action.run(None, case)
        with adding.AllowlistChange() as change, self._store.write(durable=not action.only_reads) as tx:
            # Read again: the files may have changed while the key was fetched.
            snapshot = attempt.at(consent.with_identity(tx, self._snapshots.read(where, project)))
            case = self._decided(tx, attempt, snapshot)
            spent = rate_limits.spent_on(tx, case.snapshot, call.tool, case.verdict.limits, action.value)
            ask = consent.require_consent(tx, case, self._session, answer)
            case = case._replace(snapshot=consent.with_identity(tx, case.snapshot))  # consent may change the identity
            outcome = ask or action.run(tx, case)
            if isinstance(outcome, Done):
                rate_limits.spend(tx, spent)
            self._log.add(tx, attempt.event(outcome))
            if case.adds and isinstance(outcome, Done):
                self._log.add(tx, attempt.event_of_adding())
                change.add(case.snapshot, call.name)
        return outcome

    def _decided(self, tx: Transaction | None, attempt: _Attempt, snapshot: PolicySnapshot) -> Case:
        """Check the call against the allowlist and rules, then look up the secret's record. Raises `DeniedError`.

        For a name that the person may add, the record is looked up only after the person has agreed.
        """
        call, answer = attempt.call, attempt.answer
        verdict = adding.decide(snapshot, call, answer, asks=self._asks)
        case = Case(call, snapshot, verdict, None)
        if tx is None or not call.name or (case.adds and not isinstance(answer, Entered)):
            return case
        return case._replace(record=records.find(tx, snapshot.scope, call.name))

    def _locate(self, where: CallOrigin) -> Project:
        project = self._find(where)
        self._guard(where, project)
        return project

    def _find(self, where: CallOrigin) -> Project:
        self._directories.check(where)
        project = locate(where, homes=self._homes)
        self._directories.check_project(where, project.path)
        return project

    def _guard(self, where: CallOrigin, project: Project) -> None:
        """Refuse a store, key file or personal file inside the project, because the project could have planted it."""
        if (where, project) == self._guarded:
            return
        refuse_inside(self._store.path, store_inside, where, project, self._homes)
        for directory in self._config.all():
            refuse_inside(directory, policy_file_inside, where, project, self._homes)
        for key_file in self._store.key_files():
            refuse_inside(key_file, key_file_inside, where, project, self._homes)
        if self._store.exists():
            self._guarded = (where, project)

    def _log_refusal(self, attempt: _Attempt, refused: Refused) -> None:
        """Log the refusal. If the person refused, also remember the person's refusal.

        If the store is not open, nothing is logged or remembered; the call is refused all the same.
        """
        if not self._store.exists() or not self._store.unlocked:
            return
        answer, snapshot = attempt.answer, attempt.snapshot
        if isinstance(answer, Entered):
            answer = answer.consent
        # An error here (a busy, full or damaged store) is ignored, because the agent gets no secret.
        with suppress(SecretsError), self._store.write(durable=False) as tx:
            self._log.add(tx, attempt.event(refused))
            if isinstance(answer, Declined) and answer.said_no and snapshot is not None:
                consent.remember_no(tx, snapshot, attempt.call)


def _another_store() -> StoreError:
    return StoreError(
        Code.STORE_UNAVAILABLE,
        "The person's config.yml now names a different store than this server opened, so nothing was done.",
        "Restart the server (in the client: reconnect it).",
    )
