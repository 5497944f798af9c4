"""Collect all values of a store, so that they can be found in other texts.

Always: the values are never shown to agents. A value is returned with its name only if the project may see the name.
"""

from typing import NamedTuple

from claude_secrets.agent import consent
from claude_secrets.agent.visible_names import readable_by_name, visible_among
from claude_secrets.policy.snapshot import PolicySnapshot
from claude_secrets.store import records
from claude_secrets.store.transaction import Transaction


class StoreValues(NamedTuple):
    """All current values of a store.

    `named` maps the names that the project may see to their values. `use_only` are the names in `named` whose secrets
    are use-only. `others` are all values that are not in `named`.
    """

    named: dict[str, str]
    use_only: frozenset[str]
    others: frozenset[str]


def values_of_store(tx: Transaction, snapshot: PolicySnapshot | None) -> StoreValues:
    """All current values of every scope. If `snapshot` is None, there is no project, so `named` is empty.

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
