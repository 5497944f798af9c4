"""The agents' doorway: one call in, `Done`, `Refused` or `Ask` out. The only way for an agent to a secret.

Always: project and allowlist are read anew for each call; the decision comes before the look-up and does not depend
on whether the name exists; a question is returned, never put, with no transaction open. One thread uses one gate.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from claude_secrets import grants, limits, paths, policy, records
from claude_secrets.errors import CallerError, Code, SecretsError
from claude_secrets.grants import Grant
from claude_secrets.model import (
    SHARED,
    Access,
    Ask,
    Call,
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
from claude_secrets.patterns import Search
from claude_secrets.policy_file import Allowlist, AllowlistReader, Entry
from claude_secrets.project import Project, Whereabouts, locate, refuse_inside
from claude_secrets.records import Record, Stored
from claude_secrets.store import Store
from claude_secrets.transaction import Transaction
from claude_secrets.write_limits import read_write_limits

VISIBLE_LIMIT = 1000
"""Names that one list or search returns, at most."""


@dataclass(frozen=True, slots=True)
class _Setting:
    """Where one call happens: the project and what its allowlist says now."""

    project: Project
    allowlist: Allowlist


class Gate:
    """Carries out the six tools for the agents of whatever project a call comes from.

    `config` is the directory of the person's own `policy.yml`.
    """

    def __init__(self, *, store: Store, config: Path) -> None:
        self._store = store
        self._config = config
        self._reader = AllowlistReader()
        self._homes = paths.home_directories()
        self._command = paths.command()
        self._guarded: tuple[Whereabouts, Project] | None = None

    def close(self) -> None:
        """Close the store and forget its key."""
        self._store.close()

    def call(self, call: Call, where: Whereabouts, answer: Entered | None = None) -> Outcome:
        """Carry out one call; `answer` is what the person entered where an earlier try returned `Ask`.

        Every `SecretsError` becomes `Refused`; anything else that is raised is a fault of ours.
        """
        try:
            return self._carry_out(call, where, answer)
        except SecretsError as error:
            return Refused(error)

    def _carry_out(self, call: Call, where: Whereabouts, answer: Entered | None) -> Outcome:
        project = locate(where, homes=self._homes, command=self._command)
        self._guard(where, project)
        setting = _Setting(project, self._reader.read(project.path))
        if self._store.exists():
            self._store.unlock()
        if call.tool in (Tool.LIST_SECRETS, Tool.SEARCH_SECRETS):
            return self._names(setting, call)
        name = check_name(call.name)
        entry = self._permit(setting, name)
        if call.tool is Tool.GET_SECRET:
            return self._get(setting, name, entry)
        if call.tool is Tool.SET_SECRET:
            return self._set(setting, name, check_value(call.value))
        if call.tool is Tool.DELETE_SECRET:
            return self._delete(setting, name)
        if answer is None:
            return self._ask(setting, name, entry, call.prompt)
        return self._enter(setting, name, answer)

    def _guard(self, where: Whereabouts, project: Project) -> None:
        """Refuse a store, a key file and a policy file that the project itself could have brought along."""
        if (where, project) == self._guarded:
            return
        refuse_inside(self._store.path, "store", where, project, self._homes)
        refuse_inside(self._config, "policy file", where, project, self._homes)
        if self._store.exists():
            for key_file in self._store.key_files():
                refuse_inside(key_file, "key file", where, project, self._homes)
            self._guarded = (where, project)

    def _get(self, setting: _Setting, name: str, entry: Entry) -> Done:
        with self._reading(setting) as tx:
            record = self._find(tx, setting, name)
            if tx is None or record is None:
                raise _not_found(name)
            if not policy.may_be_read(record=record.access, allowlisted=entry.access):
                raise policy.use_only(name)
            return Done(text=records.value(tx, record), data={"version": record.version})

    def _set(self, setting: _Setting, name: str, value: str) -> Done:
        limit = read_write_limits(self._config).set_secret
        with self._writing(setting, name) as (tx, now_setting):
            limits.spend(tx, project=setting.project.identity, tool=Tool.SET_SECRET, limit=limit)
            stored = records.put(
                tx,
                scope=now_setting.allowlist.scope,
                name=name,
                value=value,
                origin=setting.project.identity,
                entered_by=EnteredBy.AGENT,
                repeats=self._is_use_only(tx, now_setting, name),  # or the answer would tell that the guess was right
            )
        verb = "Stored" if stored.changed else "Nothing to change: the store has this value for"
        return _stored(f"{verb} '{name}' (version {stored.version}).", stored)

    def _delete(self, setting: _Setting, name: str) -> Done:
        with self._reading(setting) as tx:
            if self._find(tx, setting, name) is None:
                return Done(text=f"There was no '{name}' to delete.", data={"deleted": False})
        with self._writing(setting, name) as (tx, now_setting):
            record = self._find(tx, now_setting, name)
            if record is not None:  # None: another process was quicker
                records.delete(tx, record, entered_by=EnteredBy.AGENT)
        return Done(
            text=f"Deleted '{name}'. Its versions stay in the store; the person can store it again with "
            f"`{self._command} set {name}`.",
            data={"deleted": True},
        )

    def _names(self, setting: _Setting, call: Call) -> Done:
        """The names that exist, that the allowlist has and that this project is trusted with, sorted."""
        search = Search(call.pattern) if call.tool is Tool.SEARCH_SECRETS else None
        with self._reading(setting) as tx:
            names = sorted(
                record.name
                for record in (() if tx is None else records.every(tx))
                if tx is not None
                and not record.deleted
                and record.scope == setting.allowlist.scope
                and self._is_trusted(tx, setting, record)
                and setting.allowlist.entry_for(record.name) is not None
                and (search is None or search.matches(record.name))
            )
        shown = names[:VISIBLE_LIMIT]
        data: dict[str, object] = {"total": len(names), "visible": len(shown), "names": shown}
        return Done(text="", data=data if search is None else {"pattern": call.pattern, **data})

    def _ask(self, setting: _Setting, name: str, entry: Entry, prompt: str) -> Ask:
        limit = read_write_limits(self._config).input_secret
        with self._reading(setting) as tx:
            record = self._find(tx, setting, name)
            if tx is not None:
                limits.check(tx, project=setting.project.identity, tool=Tool.INPUT_SECRET, limit=limit)
        store = self._store.path
        return Ask(
            InputQuestion(
                name=name,
                project=str(setting.project.path),
                replaces=record.version if record is not None else None,
                store=None if store == paths.default_store() else str(store),
                about=entry.about,
                url=entry.url,
                prompt=prompt,
                access=record.access if record is not None else Access.USE_ONLY,
            )
        )

    def _enter(self, setting: _Setting, name: str, answer: Entered) -> Done:
        limit = read_write_limits(self._config).input_secret
        value = check_value(answer.value)
        with self._writing(setting, name) as (tx, now_setting):
            limits.spend(tx, project=setting.project.identity, tool=Tool.INPUT_SECRET, limit=limit)
            stored = records.put(
                tx,
                scope=now_setting.allowlist.scope,
                name=name,
                value=value,
                origin=setting.project.identity,
                entered_by=EnteredBy.PERSON,
                access=answer.access,
            )
        return _stored(f"Stored '{name}' (version {stored.version}). The value went straight to the store.", stored)

    @contextmanager
    def _reading(self, setting: _Setting) -> Iterator[Transaction | None]:
        """A reading transaction, or None where there is no store yet: reading never makes one."""
        if not self._store.exists():
            self._require_scope(None, setting)
            yield None
            return
        with self._store.read() as tx:
            self._require_scope(tx, setting)
            yield tx

    @contextmanager
    def _writing(self, setting: _Setting, name: str) -> Iterator[tuple[Transaction, _Setting]]:
        """A writing transaction in which everything was decided again on the allowlist as it is now."""
        if not self._store.exists():
            self._require_scope(None, setting)
        with self._store.write() as tx:
            setting = _Setting(setting.project, self._reader.read(setting.project.path))
            self._permit(setting, name)
            self._require_scope(tx, setting)
            self._require_trust(tx, setting, records.find(tx, setting.allowlist.scope, name))
            yield tx, setting

    def _permit(self, setting: _Setting, name: str) -> Entry:
        entry = setting.allowlist.entry_for(name)
        if entry is None:
            raise policy.not_allowlisted(name, command=self._command, project=str(setting.project.path))
        return entry

    def _find(self, tx: Transaction | None, setting: _Setting, name: str) -> Record | None:
        """The record of that name if there is one now, this project's or granted to it; else NOT_TRUSTED."""
        if tx is None:
            return None
        record = records.find(tx, setting.allowlist.scope, name)
        self._require_trust(tx, setting, record)
        return None if record is None or record.deleted else record

    def _is_use_only(self, tx: Transaction, setting: _Setting, name: str) -> bool:
        record, entry = records.find(tx, setting.allowlist.scope, name), self._permit(setting, name)
        return record is not None and not policy.may_be_read(record=record.access, allowlisted=entry.access)

    def _require_trust(self, tx: Transaction, setting: _Setting, record: Record | None) -> None:
        if record is not None and not self._is_trusted(tx, setting, record):
            raise policy.not_trusted(record.name, command=self._command, project=str(setting.project.path))

    def _is_trusted(self, tx: Transaction, setting: _Setting, record: Record) -> bool:
        identity = setting.project.identity
        return record.origin == identity or grants.holds(
            tx, Grant(project=identity, scope=record.scope, name=record.name)
        )

    def _require_scope(self, tx: Transaction | None, setting: _Setting) -> None:
        """A project that names a scope of its own must have been let claim it; without a store nothing was."""
        scope = setting.allowlist.scope
        claim = Grant(project=setting.project.identity, scope=scope)
        if scope != SHARED and (tx is None or not grants.holds(tx, claim)):
            raise policy.scope_not_trusted(scope, command=self._command, project=str(setting.project.path))


def _not_found(name: str) -> CallerError:
    return CallerError(
        Code.NOT_FOUND,
        f"There is no secret '{name}' here.",
        "Use input_secret to let the person enter it without showing it to you.",
    )


def _stored(text: str, stored: Stored) -> Done:
    return Done(text=text, data={"version": stored.version, "changed": stored.changed})
