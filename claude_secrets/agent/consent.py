"""Find the items of a call that need the person's consent, and apply the person's answer.

Always: a question lists every item for which it asks consent, and no other item. An answer is valid only for the
question that was asked. A grant is stored in the same transaction in which the call uses it.
"""

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets import paths
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
    Entered,
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
    """A call, the current policy, the verdict of the rules on the call, and the record of the call's secret.

    `record` is None if the secret never existed or there is no store.
    """

    call: Call
    snapshot: PolicySnapshot
    verdict: Verdict
    record: Record | None

    @property
    def adds(self) -> bool:
        """Whether the call asks the person to add its name to the allowlist."""
        return decisions.adds(self.snapshot, self.call)


class SessionReads:
    """The use-only values that the person lets a project's agents read until this server ends."""

    def __init__(self) -> None:
        self._allowed: set[tuple[Grant, int]] = set()

    def allow(self, case: Case) -> None:
        """Remember the person's consent until this server ends."""
        if case.record is not None:
            self._allowed.add((_grant(case), case.record.version))

    def holds(self, case: Case) -> bool:
        """Whether the person has let agents read this version of the secret until this server ends."""
        return case.record is not None and (_grant(case), case.record.version) in self._allowed


def is_trusted(tx: Transaction, snapshot: PolicySnapshot, record: Record) -> bool:
    """Whether the project may use the stored secret."""
    if snapshot.trust is Trust.OFF:
        return True
    own = record.origin in snapshot.project.identities and snapshot.trust is not Trust.REQUIRED
    return own or grants.holds_any(tx, snapshot.project.identities, record.scope, record.name)


def is_scope_allowed(tx: Transaction | None, snapshot: PolicySnapshot) -> bool:
    """Whether the project may use the scope that the project's file names."""
    if not snapshot.claims_scope or snapshot.trust is Trust.OFF:
        return True
    return grants.holds_any(tx, snapshot.project.identities, snapshot.scope)


def with_identity(tx: Transaction | None, snapshot: PolicySnapshot) -> PolicySnapshot:
    """The snapshot with the project's identity according to its grants.

    With the person's grant, a linked work tree has the identity of its main work tree.
    """
    return snapshot._replace(project=snapshot.project.with_identity(partial(grants.joins, tx)))


def items_of(tx: Transaction | None, case: Case, session: SessionReads) -> tuple[ConsentItem, ...]:
    """The items for which the call needs consent, in the order in which the person is asked."""
    items, case = _trust_wants(tx, case)
    call = case.call
    trusted = all(want.kind is not ConsentKind.SECRET for want in items)
    # Revoking a grant also ends the consent for the session.
    if call.tool is Tool.GET_SECRET and not call.use and reads_use_only(case) and not (trusted and session.holds(case)):
        version = case.record.version if case.record is not None else 0
        words = f"read the value of {call.name} (version {version}), which is use-only"
        items.append(ConsentItem(ConsentKind.READ, call.name, words))
    if call.tool is not Tool.INPUT_SECRET:  # the person approves by typing the value
        for applied in case.verdict.approvals:
            rule = applied.rule
            whose = {RuleSource.PERSON: "your", RuleSource.ENVIRONMENT: "your environment's"}.get(
                applied.source, "this project's"
            )
            why = f"{whose} rule {shortened(rule.rule_id)} requires your approval"
            words = f"call {call.tool} {call.name}".rstrip() + f" ({why})"
            by_project = applied.source is RuleSource.PROJECT
            items.append(ConsentItem(ConsentKind.APPROVAL, rule.rule_id, words, rule.said, by_project))
    return tuple(items)


def _trust_wants(tx: Transaction | None, case: Case) -> tuple[list[ConsentItem], Case]:
    """The items for which the call needs a grant, and the case as it will be after the first item is granted.

    The first item may be that the project counts as its main work tree. This item is included only if it makes other
    grants unnecessary.
    """
    own, main = _grants_wanted(tx, case), case.snapshot.project.unjoined
    if not own or main is None:
        return own, case
    project = case.snapshot.project._replace(identity=main)
    as_main = case._replace(snapshot=case.snapshot._replace(project=project))
    left = _grants_wanted(tx, as_main)
    if len(left) == len(own):
        return own, case
    words = (
        f"count as a work tree of {_short(main)}; it may then use, change and delete the same secrets as that project"
    )
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
    """Whether the call's secret is use-only, so that agents may not read its value."""
    record = case.record
    if record is None or record.deleted:
        return False
    entry = decisions.require_entry(case.snapshot, case.call.name)
    return not decisions.may_be_read(record=record.access, allowlisted=entry.access)


def may_read(case: Case) -> bool:
    """Whether an agent may now read the value without a question to the person."""
    verdict = decisions.verdict(case.snapshot, Call(tool=Tool.GET_SECRET, name=case.call.name))
    return not (reads_use_only(case) or verdict.refused_by or verdict.approvals)


def questions(case: Case, wanted: tuple[ConsentItem, ...]) -> list[ConsentQuestion]:
    """The questions that the person is asked, one after the other.

    Approvals that the project's own rules require are in a separate question. The project's author wrote the text of
    these rules, and the text must not appear next to items that the person might not approve.
    """
    parts = (tuple(want for want in wanted if want.by_project is own) for own in (False, True))
    return [_question(case, part) for part in parts if part]


def _question(case: Case, wanted: tuple[ConsentItem, ...]) -> ConsentQuestion:
    """The question that lists the items.

    The question's digest covers all facts on which the items depend, such as the secret's version.
    """
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
        dialog_only=snapshot.config.consent is Channels.DIALOG or case.adds,  # no client may widen the allowlist
    )


def require_consent(tx: Transaction | None, case: Case, session: SessionReads, answer: Answer | None) -> Ask | None:
    """Return the next question for the person, or None if the call needs no further consent.

    An earlier answer is accepted only for exactly the items that the call needs now. Nothing is granted before the
    person has consented to the last question.

    Raises:
        DeniedError: the person refused, now or within the last ten minutes, or did not answer.
    """
    if isinstance(answer, Entered):
        answer = answer.consent
    elif case.adds and tx is not None and _remembers_no(tx, case, ()):
        raise refusals.refused_to_add(case.call.name)
    asked = questions(case, items_of(tx, case, session))
    if not asked:
        return None
    if isinstance(answer, Declined):  # a refusal stays valid even if a file changed after the question was asked
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
    """Remember the person's refusal for a while.

    If the person refused the scope or work tree, the refusal also applies to other calls that need this scope or work
    tree.
    """
    looked_up = call.name and not decisions.adds(snapshot, call)
    record = records.find(tx, snapshot.scope, call.name) if looked_up else None
    wanted, _ = _trust_wants(tx, Case(call, snapshot, decisions.verdict(snapshot, call), record))
    whole = [no for want in wanted if (no := _whole_no(snapshot, want))]
    what = whole[0] if whole else _no(snapshot, call)
    counters.remember(tx, project=snapshot.identity, what=what, seconds=refusals.NO_HOLDS_SECONDS)


def _remembers_no(tx: Transaction, case: Case, wanted: tuple[ConsentItem, ...]) -> bool:
    snapshot = case.snapshot
    noes = [_no(snapshot, case.call), *(_whole_no(snapshot, want) for want in wanted)]
    return any(counters.remembers(tx, project=snapshot.identity, what=no) for no in noes if no)


def refusal(case: Case, want: ConsentItem) -> DeniedError:
    """The error for a call if the person did not consent to the item `want`."""
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
        return True  # no secret of another project is stored under this name
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
    """Say what the call does, and what the project may do after the person consents."""
    doing = _DOING.get(call.tool, "use")
    if record is None:
        return f"{doing} {call.name}, which is not stored yet"
    origin = "by you" if record.origin == PERSON else f"from {_short(record.origin)}"
    state = "deleted there" if record.deleted else record.access.value
    return f"{doing} {call.name}, stored {origin} ({state}); this project may then use, change and delete it"


_DOING: Final = {
    Tool.GET_SECRET: "read",
    Tool.SET_SECRET: "overwrite",
    Tool.DELETE_SECRET: "delete",
    Tool.INPUT_SECRET: "ask you to enter a value for",
}


def _short(path: str) -> str:
    home = paths.home()
    return shortened(str(Path("~") / Path(path).relative_to(home)) if Path(path).is_relative_to(home) else path)


def _grant(case: Case) -> Grant:
    return Grant(project=case.snapshot.identity, scope=case.snapshot.scope, name=case.call.name)


def _no(snapshot: PolicySnapshot, call: Call) -> str:
    return f"no:{snapshot.scope}:{call.name or call.tool.value}"


def _whole_no(snapshot: PolicySnapshot, want: ConsentItem) -> str | None:
    """The key for remembering a refusal of a scope or work tree, or None if the item `want` is of another kind."""
    return {ConsentKind.SCOPE: f"no:{snapshot.scope}:", ConsentKind.WORK_TREE: f"no:worktree:{want.subject}"}.get(
        want.kind
    )
