"""Decides a call by the project's allowlist and all rules, before anything is looked up.

Always: pure; the decision does not depend on whether the secret exists.
"""

from claude_secrets.model import Access, Call, Tool
from claude_secrets.policy import refusals, rules
from claude_secrets.policy.allowlist import AllowlistEntry
from claude_secrets.policy.rules import Verdict
from claude_secrets.policy.snapshot import PolicySnapshot

_OF_MANY = (Tool.LIST_SECRETS, Tool.SEARCH_SECRETS)


def decide(snapshot: PolicySnapshot, call: Call) -> Verdict:
    """Hold a call against allowlist and rules; what is left are limits and approvals.

    Raises:
        DeniedError: NOT_ALLOWLISTED, DENIED_BY_RULE.
    """
    if call.tool not in _OF_MANY:
        require_entry(snapshot, call.name)
    what = verdict(snapshot, call)
    if what.refused_by is not None:
        raise refusals.denied_by_rule(what.refused_by, tool=call.tool)
    return what


def require_entry(snapshot: PolicySnapshot, name: str) -> AllowlistEntry:
    """The allowlist's entry for a name.

    Raises:
        DeniedError: NOT_ALLOWLISTED.
    """
    entry = snapshot.allowlist.entry_for(name)
    if entry is None:
        raise refusals.not_allowlisted(name, project=str(snapshot.project.path))
    return entry


def verdict(snapshot: PolicySnapshot, call: Call) -> Verdict:
    """What the rules say of a call."""
    return rules.apply(snapshot.policies, call.tool, arguments(call))


def may_be_read(*, record: Access, allowlisted: Access | None) -> bool:
    """A value goes to an agent only where neither the secret nor the allowlist's entry says use-only."""
    return Access.USE_ONLY not in (record, allowlisted)


def arguments(call: Call) -> dict[str, str]:
    """A call's arguments by name, as rules see them: an empty one was not given, but a search's pattern always is."""
    given = {"name": call.name, "value": call.value, "pattern": call.pattern, "prompt": call.prompt}
    always = "pattern" if call.tool is Tool.SEARCH_SECRETS else ""
    return {name: text for name, text in given.items() if text or name == always}
