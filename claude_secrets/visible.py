"""Which stored names the agents of a project are shown.

Always: only what the allowlist has and the project is trusted with; never a value.
"""

from collections.abc import Iterator

from claude_secrets import consent, policy, records
from claude_secrets.policy_file import Entry
from claude_secrets.records import Record
from claude_secrets.setting import Setting
from claude_secrets.transaction import Transaction


def shown(tx: Transaction, setting: Setting) -> dict[str, bool]:
    """The names that a project is shown, sorted, and whether agents are given their values."""
    decided_by = ("shown", setting.project.identities, setting.trust, setting.data[0], tx.head.grants)
    names: dict[str, bool] | None = tx.remembered.get(decided_by)
    if names is None:
        found = {
            record.name: policy.may_be_read(record=record.access, allowlisted=entry.access)
            for record, entry in visible(tx, setting)
        }
        names = tx.remembered[decided_by] = dict(sorted(found.items()))
    return names


def visible(tx: Transaction, setting: Setting) -> Iterator[tuple[Record, Entry]]:
    """The secrets that agents of a project may use as far as allowlist and trust go, with their entries."""
    exact = setting.allowlist.names
    looked_up = (records.find(tx, setting.scope, name) for name in exact or ())
    for record in records.every(tx) if exact is None else looked_up:
        if record is None or record.deleted or record.scope != setting.scope:
            continue
        if consent.is_trusted(tx, setting, record):
            entry = setting.allowlist.entry_for(record.name)
            if entry is not None:
                yield record, entry
