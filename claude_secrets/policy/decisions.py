"""Allow or deny a call by the project's allowlist and all rules, before the call reads the store.

Always: the functions are pure. The decision does not depend on whether the secret exists.
"""

from claude_secrets.model import Access, Call, Tool
from claude_secrets.policy import refusals, rules
from claude_secrets.policy.allowlist import AllowlistEntry
from claude_secrets.policy.rules import Verdict
from claude_secrets.policy.snapshot import PolicySnapshot

_OF_MANY = (Tool.LIST_SECRETS, Tool.SEARCH_SECRETS)


def decide(snapshot: PolicySnapshot, call: Call) -> Verdict:
    """Check a call against the allowlist and the rules. The caller must still check the returned limits and approvals.

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
    """Return the allowlist entry that matches a name.

    Raises:
        DeniedError: NOT_ALLOWLISTED.
    """
    entry = snapshot.allowlist.entry_for(name)
    if entry is None:
        raise refusals.not_allowlisted(name, project=str(snapshot.project.path))
    return entry


def adds(snapshot: PolicySnapshot, call: Call) -> bool:
    """Whether the call asks the person for the value of a name that is not in the allowlist."""
    return call.tool is Tool.INPUT_SECRET and snapshot.allowlist.entry_for(call.name) is None


def verdict(snapshot: PolicySnapshot, call: Call) -> Verdict:
    """Apply all rules to a call, and return their verdict."""
    return rules.apply(snapshot.policies, call.tool, arguments(call))


def may_be_read(*, record: Access, allowlisted: Access | None) -> bool:
    """Whether an agent may get a secret's value. It may not if the secret or its allowlist entry is use-only."""
    return Access.USE_ONLY not in (record, allowlisted)


def arguments(call: Call) -> dict[str, str]:
    """Return the arguments that rules can check. Empty arguments are omitted, except a search pattern."""
    given = {"name": call.name, "value": call.value, "pattern": call.pattern, "prompt": call.prompt}
    always = "pattern" if call.tool is Tool.SEARCH_SECRETS else ""
    return {name: text for name, text in given.items() if text or name == always}
