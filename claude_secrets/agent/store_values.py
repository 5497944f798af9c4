"""All values of a store, for finding them in other texts.

Always: values are never handed out. Only values whose names the project may see have a name here.
"""

from typing import NamedTuple

from claude_secrets.agent import consent
from claude_secrets.agent.visible_names import readable_by_name, visible_among
from claude_secrets.policy.snapshot import PolicySnapshot
from claude_secrets.store import records
from claude_secrets.store.transaction import Transaction


class StoreValues(NamedTuple):
    """All current values of a store.

    `named`: the values whose names the project may see, by name. `use_only`: the use-only names among them. `others`:
    the remaining values, without those that are also in `named`.
    """

    named: dict[str, str]
    use_only: frozenset[str]
    others: frozenset[str]


def values_of_store(tx: Transaction, snapshot: PolicySnapshot | None) -> StoreValues:
    """All current values of every scope. Without a snapshot there is no project, so no value has a name.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    live = [record for record in records.iterate_all(tx) if not record.deleted]
    readable: dict[str, bool] = {}
    if snapshot is not None:
        snapshot = consent.with_identity(tx, snapshot)
        if consent.is_scope_allowed(tx, snapshot):
            readable = readable_by_name(visible_among(tx, snapshot, live))
    named, others = {}, set()
    for record in live:
        if snapshot is not None and record.scope == snapshot.scope and record.name in readable:
            named[record.name] = records.value(tx, record)
        else:
            others.add(records.value(tx, record))
    use_only = frozenset(name for name in named if not readable[name])
    return StoreValues(named, use_only, frozenset(others.difference(named.values())))
