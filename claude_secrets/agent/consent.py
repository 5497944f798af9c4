"""Consent: what a call needs the person's yes for, and what becomes of their answer.

Always: a question lists exactly what is wanted; an answer counts for the question it was given to and nothing else;
what was granted is remembered in the transaction that uses it.
"""

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.errors import DeniedError
from claude_secrets.model import (
    PERSON,
    Answer,
    Ask,
    Call,
    Channel,
    Consented,
    ConsentItem,
    ConsentKind,
    ConsentQuestion,
    Declined,
    Tool,
)
from claude_secrets.policy import decisions, refusals
from claude_secrets.policy.config import Channels, Trust
from claude_secrets.policy.rules import RuleSource, Verdict
from claude_secrets.policy.snapshot import PolicySnapshot
from claude_secrets.store import counters, grants, records
from claude_secrets.store.grants import Grant
from claude_secrets.store.records import Record
from claude_secrets.store.transaction import Transaction
from claude_secrets.untrusted_text import shortened


class Case(NamedTuple):
    """A call, what the files say at that moment, what the rules decide, and the record it is about.

    `record` None: there has never been one, or there is no store.
    """

    call: Call
    snapshot: PolicySnapshot
    verdict: Verdict
    record: Record | None


class SessionReads:
    """The use-only values that the person lets agents of a project read until this server ends."""

    def __init__(self) -> None:
        self._allowed: set[tuple[Grant, int]] = set()

    def allow(self, case: Case) -> None:
        """Remember a yes for the session."""
        if case.record is not None:
            self._allowed.add((_grant(case), case.record.version))

    def holds(self, case: Case) -> bool:
        """Whether there was one, to this version of the secret."""
        return case.record is not None and (_grant(case), case.record.version) in self._allowed


def is_trusted(tx: Transaction, snapshot: PolicySnapshot, record: Record) -> bool:
    """Whether the project may use what is stored there."""
    if snapshot.trust is Trust.OFF:
        return True
    own = record.origin in snapshot.project.identities and snapshot.trust is not Trust.REQUIRED
    return own or grants.holds_any(tx, snapshot.project.identities, record.scope, record.name)


def is_scope_allowed(tx: Transaction | None, snapshot: PolicySnapshot) -> bool:
    """Whether the project may use the scope its file names."""
    if not snapshot.claims_scope or snapshot.trust is Trust.OFF:
        return True
    return grants.holds_any(tx, snapshot.project.identities, snapshot.scope)


def with_identity(tx: Transaction | None, snapshot: PolicySnapshot) -> PolicySnapshot:
    """The snapshot of the project by the identity by which it counts."""
    return snapshot._replace(project=snapshot.project.with_identity(partial(grants.joins, tx)))


def items_of(tx: Transaction | None, case: Case, session: SessionReads) -> tuple[ConsentItem, ...]:
    """What the call needs consent for, in the order in which it is asked."""
    items, case = _trust_wants(tx, case)
    call = case.call
    trusted = all(want.kind is not ConsentKind.SECRET for want in items)
    # What was revoked was allowed for no session.
    if call.tool is Tool.GET_SECRET and not call.use and reads_use_only(case) and not (trusted and session.holds(case)):
        version = case.record.version if case.record is not None else 0
        words = f"read the value of {call.name} (version {version}), which is use-only"
        items.append(ConsentItem(ConsentKind.READ, call.name, words))
    if call.tool is not Tool.INPUT_SECRET:  # what the person types themselves, they approve of
        for applied in case.verdict.approvals:
            rule = applied.rule
            whose = {RuleSource.PERSON: "your", RuleSource.ENVIRONMENT: "your environment's"}.get(
                applied.source, "this project's"
            )
            words = f"call {call.tool} {call.name}".rstrip() + f" ({whose} rule {shortened(rule.rule_id)} asks you)"
            by_project = applied.source is RuleSource.PROJECT
            items.append(ConsentItem(ConsentKind.APPROVAL, rule.rule_id, words, rule.said, by_project))
    return tuple(items)


def _trust_wants(tx: Transaction | None, case: Case) -> tuple[list[ConsentItem], Case]:
    """What the call needs a grant for, and the case as it is once what comes first is granted.

    To count as its main work tree is wanted only where less is to be wanted then.
    """
    own, main = _grants_wanted(tx, case), case.snapshot.project.unjoined
    if not own or main is None:
        return own, case
    project = case.snapshot.project._replace(identity=main)
    as_main = case._replace(snapshot=case.snapshot._replace(project=project))
    left = _grants_wanted(tx, as_main)
    if len(left) == len(own):
        return own, case
    words = f"count as a work tree of {_short(main)}; from then on it may use, change and delete what that project may"
    return [ConsentItem(ConsentKind.WORK_TREE, main, words), *left], as_main


def _grants_wanted(tx: Transaction | None, case: Case) -> list[ConsentItem]:
    snapshot, call = case.snapshot, case.call
    items = []
    if not is_scope_allowed(tx, snapshot):
        items.append(ConsentItem(ConsentKind.SCOPE, snapshot.scope, f"keep its secrets in the scope {snapshot.scope}"))
    if call.name and not _is_name_trusted(tx, case):
        items.append(ConsentItem(ConsentKind.SECRET, call.name, _use(call, case.record)))
    return items


def reads_use_only(case: Case) -> bool:
    """Whether the value that would be handed out is one that agents are not given."""
    record = case.record
    if record is None or record.deleted:
        return False
    entry = decisions.require_entry(case.snapshot, case.call.name)
    return not decisions.may_be_read(record=record.access, allowlisted=entry.access)


def may_read(case: Case) -> bool:
    """Whether an agent would be given the value now, without anyone being asked."""
    verdict = decisions.verdict(case.snapshot, Call(tool=Tool.GET_SECRET, name=case.call.name))
    return not (reads_use_only(case) or verdict.refused_by or verdict.approvals)


def questions(case: Case, wanted: tuple[ConsentItem, ...]) -> list[ConsentQuestion]:
    """The questions to put, one after the other.

    An approval that the project's own rules ask for has a question of its own: its author's words must not stand
    beside anything that the person would not approve of.
    """
    parts = (tuple(want for want in wanted if want.by_project is own) for own in (False, True))
    return [_question(case, part) for part in parts if part]


def _question(case: Case, wanted: tuple[ConsentItem, ...]) -> ConsentQuestion:
    """The question that lists what is wanted, bound to everything it was found from, such as the secret's version."""
    call, snapshot, record = case.call, case.snapshot, case.record
    bound = [
        call.tool.value,
        decisions.arguments(call),
        snapshot.fingerprint,
        [[w.kind.value, w.subject, w.words, w.said] for w in wanted],
        [record.origin, record.version, record.revision] if record is not None else [],
    ]
    return ConsentQuestion(
        tool=call.tool,
        name=call.name,
        project=str(snapshot.project.path),
        items=wanted,
        digest=hashlib.sha256(json.dumps(bound, sort_keys=True).encode()).hexdigest(),
        dialog_only=snapshot.config.consent is Channels.DIALOG,
    )


def require_consent(tx: Transaction | None, case: Case, session: SessionReads, answer: Answer | None) -> Ask | None:
    """Let the call go on (None) if nothing is wanted or the person has consented to exactly that; else ask.

    Nothing is granted before the last question has its yes.

    Raises:
        DeniedError: the person said no, now or within the last ten minutes, or did not answer.
    """
    asked = questions(case, items_of(tx, case, session))
    if not asked:
        return None
    if isinstance(answer, Declined):  # a refusal stands even if a file changed after the question was asked
        declined = next((one for one in asked if one.digest == answer.digest), asked[0])
        raise refusals.refused_consent(refusal(case, declined.items[0]), answer)
    answers = answer.all() if isinstance(answer, Consented) else {}
    left = next((one for one in asked if one.digest not in answers), None)
    if left is not None:
        if tx is not None and _remembers_no(tx, case, left.items):
            no = Declined(digest=left.digest, channel=Channel.EARLIER, said_no=True)
            raise refusals.refused_consent(refusal(case, left.items[0]), no)
        return Ask(left)
    for one in asked:
        for want in one.items:
            _grant_one(tx, case, want)
            case = case._replace(snapshot=with_identity(tx, case.snapshot))
            if want.kind is ConsentKind.READ and answers[one.digest].session and one.for_session:
                session.allow(case)
    return None


def remember_no(tx: Transaction, snapshot: PolicySnapshot, call: Call) -> None:
    """Let a person's no hold for a while; where the scope or the work tree was asked for, for all that wants it."""
    record = records.find(tx, snapshot.scope, call.name) if call.name else None
    wanted, _ = _trust_wants(tx, Case(call, snapshot, decisions.verdict(snapshot, call), record))
    whole = [no for want in wanted if (no := _whole_no(snapshot, want))]
    what = whole[0] if whole else _no(snapshot, call)
    counters.remember(tx, project=snapshot.identity, what=what, seconds=refusals.NO_HOLDS_SECONDS)


def _remembers_no(tx: Transaction, case: Case, wanted: tuple[ConsentItem, ...]) -> bool:
    snapshot = case.snapshot
    noes = [_no(snapshot, case.call), *(_whole_no(snapshot, want) for want in wanted)]
    return any(counters.remembers(tx, project=snapshot.identity, what=no) for no in noes if no)


def refusal(case: Case, want: ConsentItem) -> DeniedError:
    """What the call is refused with where there is no consent to `want`."""
    snapshot, project = case.snapshot, str(case.snapshot.project.path)
    match want.kind:
        case ConsentKind.WORK_TREE:
            return refusals.work_tree_not_trusted(project=project)
        case ConsentKind.SECRET if snapshot.trust is Trust.REQUIRED:
            return refusals.grant_required(want.subject, project=project)
        case ConsentKind.SECRET:
            return refusals.not_trusted(want.subject, project=project)
        case ConsentKind.SCOPE:
            return refusals.scope_not_trusted(want.subject, project=project)
        case ConsentKind.READ:
            return refusals.use_only(want.subject)
        case ConsentKind.APPROVAL:
            return refusals.approval_refused(case.call.tool, want.subject)


def _is_name_trusted(tx: Transaction | None, case: Case) -> bool:
    snapshot, record = case.snapshot, case.record
    if record is not None and tx is not None:
        return is_trusted(tx, snapshot, record)
    if snapshot.trust is not Trust.REQUIRED:
        return True  # there is nothing of anyone else's
    return grants.holds_any(tx, snapshot.project.identities, snapshot.scope, case.call.name)


def _grant_one(tx: Transaction | None, case: Case, want: ConsentItem) -> None:
    if tx is None:
        return
    snapshot = case.snapshot
    if want.kind is ConsentKind.WORK_TREE:
        grants.add(tx, grants.as_work_tree(snapshot.project.own_identity, want.subject))
    if want.kind is ConsentKind.SECRET:
        grants.add(tx, _grant(case))
    if want.kind is ConsentKind.SCOPE:
        grants.add(tx, Grant(project=snapshot.identity, scope=snapshot.scope))


def _use(call: Call, record: Record | None) -> str:
    """What the call does, and what a yes lets the project do from then on."""
    doing = _DOING.get(call.tool, "use")
    if record is None:
        return f"{doing} {call.name}, which is not stored yet"
    origin = "by you" if record.origin == PERSON else f"from {_short(record.origin)}"
    state = "deleted there" if record.deleted else record.access.value
    return f"{doing} {call.name}, stored {origin} ({state}); from then on it may use, change and delete it"


_DOING: Final = {
    Tool.GET_SECRET: "read",
    Tool.SET_SECRET: "overwrite",
    Tool.DELETE_SECRET: "delete",
    Tool.INPUT_SECRET: "have you enter a value for",
}


def _short(path: str) -> str:
    home = Path.home()
    return shortened(str(Path("~") / Path(path).relative_to(home)) if Path(path).is_relative_to(home) else path)


def _grant(case: Case) -> Grant:
    return Grant(project=case.snapshot.identity, scope=case.snapshot.scope, name=case.call.name)


def _no(snapshot: PolicySnapshot, call: Call) -> str:
    return f"no:{snapshot.scope}:{call.name or call.tool.value}"


def _whole_no(snapshot: PolicySnapshot, want: ConsentItem) -> str | None:
    """What a no to `want` holds for where that is more than one name."""
    return {ConsentKind.SCOPE: f"no:{snapshot.scope}:", ConsentKind.WORK_TREE: f"no:worktree:{want.subject}"}.get(
        want.kind
    )
