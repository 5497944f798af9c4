"""The action of each tool. An action runs after its call was allowed.

Always: an action runs in the transaction in which its call was decided. If there is no store yet, the action runs
without a transaction.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from claude_secrets import paths
from claude_secrets.agent import consent, results
from claude_secrets.agent.consent import Case
from claude_secrets.agent.visible_names import list_visible
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
from claude_secrets.policy import decisions, refusals
from claude_secrets.policy.allowlist import AllowlistEntry
from claude_secrets.regex import NameSearch
from claude_secrets.store import records
from claude_secrets.store.records import Stored
from claude_secrets.store.transaction import Transaction

VISIBLE_LIMIT = 1000
"""The largest number of names that one list or search returns."""

Run: TypeAlias = Callable[[Transaction | None, Case], Outcome]


class Action(NamedTuple):
    """The action for a call with valid arguments.

    `run` receives None instead of a transaction if there is no store yet. If `only_reads` is true, a power failure may
    lose the call's audit event. `value` is the value that the action stores, or empty. An action with a value creates
    the store if there is none.
    """

    run: Run
    only_reads: bool = False
    value: str = ""

    @property
    def stores(self) -> bool:
        """Whether the action stores a value."""
        return bool(self.value)

    def __repr__(self) -> str:
        return "Action(...)"


class Actions:
    """The actions on the store at one path."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._table: Final[Mapping[Tool, Callable[[Call, Answer | None], Action]]] = {
            Tool.GET_SECRET: self._get,
            Tool.SET_SECRET: self._set,
            Tool.DELETE_SECRET: self._delete,
            Tool.LIST_SECRETS: self._list,
            Tool.SEARCH_SECRETS: self._search,
            Tool.INPUT_SECRET: self._input,
        }

    def of(self, call: Call, answer: Answer | None) -> Action:
        """Return the action for a call and the person's answer.

        Raises:
            CallerError: INVALID_NAME, INVALID_VALUE, INVALID_PATTERN.
        """
        return self._table[call.tool](call, answer)

    def _get(self, call: Call, _answer: Answer | None) -> Action:
        check_name(call.name)
        return Action(_value, only_reads=True)

    def _set(self, call: Call, _answer: Answer | None) -> Action:
        check_name(call.name)
        return Action(_store_value, value=check_value(call.value))

    def _delete(self, call: Call, _answer: Answer | None) -> Action:
        check_name(call.name)
        return Action(_delete)

    def _list(self, _call: Call, _answer: Answer | None) -> Action:
        return Action(_names, only_reads=True)

    def _search(self, call: Call, _answer: Answer | None) -> Action:
        return Action(partial(_names, search=NameSearch(call.pattern)), only_reads=True)

    def _input(self, call: Call, answer: Answer | None) -> Action:
        check_name(call.name)
        if isinstance(answer, Entered):
            return Action(partial(self._enter, answer=answer), value=check_value(answer.value))
        return Action(partial(self._ask, answer=answer))

    def _ask(self, _tx: Transaction | None, case: Case, *, answer: Answer | None) -> Ask:
        if case.adds and isinstance(answer, Declined) and answer.said_no:
            raise refusals.refused_to_add(case.call.name)
        return Ask(self._question(case))

    def _question(self, case: Case) -> InputQuestion:
        if case.adds:  # nothing in the question depends on whether the secret exists
            entry, record = AllowlistEntry(case.call.name), None
        else:
            entry, record = decisions.require_entry(case.snapshot, case.call.name), case.record
        live = record if record is not None and not record.deleted else None
        config = case.snapshot.config
        return InputQuestion(
            name=case.call.name,
            project=str(case.snapshot.project.path),
            scope=case.snapshot.scope,
            replaces=live.version if live is not None else None,
            store=None if paths.is_usual(self._store, config.usual_store) else str(self._store),
            about=entry.about,
            url=entry.url,
            prompt=case.call.prompt,
            access=live.access if live is not None else config.default_access or Access.USE_ONLY,
            adds=case.adds,
        )

    def _enter(self, tx: Transaction | None, case: Case, *, answer: Entered) -> Done:
        name = case.call.name
        if self._question(case) != answer.question._replace(prompt=case.call.prompt):
            raise refusals.changed_since_shown(name)
        stored = _put(tx, case, answer.value, EnteredBy.PERSON, access=answer.access)
        text = f"Stored '{name}' (version {stored.version}). The value went straight to the store."
        return results.stored(f"{text} The person added the name to the allowlist." if case.adds else text, stored)


def _value(tx: Transaction | None, case: Case) -> Done | Refused:
    record = case.record
    if tx is None or record is None or record.deleted:
        return Refused(results.not_found(case.call.name))  # not raised, so that the person's consent is kept
    return Done(text=records.value(tx, record), data={"version": record.version})


def _store_value(tx: Transaction | None, case: Case) -> Done:
    name = case.call.name
    access = case.snapshot.config.default_access if case.record is None else None
    # An agent that may not read the value must not learn from the answer that it guessed the value.
    repeats = not consent.may_read(case)
    stored = _put(tx, case, case.call.value, EnteredBy.AGENT, access=access, repeats=repeats)
    verb = "Stored" if stored.changed else "Nothing to change: the store already has this value for"
    return results.stored(f"{verb} '{name}' (version {stored.version}).", stored)


def _put(
    tx: Transaction | None, case: Case, value: str, by: EnteredBy, *, access: Access | None, repeats: bool = False
) -> Stored:
    if tx is None:  # the gate opens a transaction for every action that stores
        raise TypeError
    return records.put(
        tx,
        scope=case.snapshot.scope,
        name=case.call.name,
        value=value,
        origin=case.snapshot.identity,
        entered_by=by,
        access=access,
        repeats=repeats,
        keep=case.snapshot.config.keep_versions,
    )


def _delete(tx: Transaction | None, case: Case) -> Done:
    name, record = case.call.name, case.record
    if tx is None or record is None or record.deleted:
        return results.nothing_to_delete(name)
    records.delete(tx, record, entered_by=EnteredBy.AGENT, keep=case.snapshot.config.keep_versions)
    return Done(
        text=f"Deleted '{name}'. The person can restore it with `{paths.command()} restore {name}`.",
        data={"deleted": True},
    )


def _names(tx: Transaction | None, case: Case, *, search: NameSearch | None = None) -> Done:
    """List the stored names that agents of the project may see, sorted. With `search`, list only matching names."""
    readable = {} if tx is None else list_visible(tx, case.snapshot)
    matching = list(readable) if search is None else search.among(list(readable))
    names = matching[:VISIBLE_LIMIT]
    use_only = [name for name in names if not readable[name]]
    return results.names(case.call, total=len(matching), names=names, use_only=use_only)
