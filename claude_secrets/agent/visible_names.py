"""Which stored names the agents of a project are shown.

Always: only what the allowlist has and the project is trusted with. Values only to find them in other texts, and those
of other secrets without their names.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from claude_secrets.agent import consent
from claude_secrets.policy import refusals
from claude_secrets.policy.allowlist import AllowlistEntry
from claude_secrets.policy.snapshot import PolicySnapshot
from claude_secrets.store import records
from claude_secrets.store.records import Record
from claude_secrets.store.transaction import Transaction


class StoreValues(NamedTuple):
    """All current values of a store: `named` are those whose names a project is shown, `use_only` says of which.

    `others` has no value that is in `named`, too.
    """

    named: dict[str, str]
    use_only: frozenset[str]
    others: frozenset[str]


def values_of_store(tx: Transaction, snapshot: PolicySnapshot | None) -> StoreValues:
    """All current values, of every scope; without a snapshot there is no project, and none has a name.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    live = [record for record in records.iterate_all(tx) if not record.deleted]
    readable: dict[str, bool] = {}
    if snapshot is not None and consent.may_claim_scope(tx, standing := consent.standing(tx, snapshot)):
        readable = _readable(_among(tx, standing, live))
    named, others = {}, set()
    for record in live:
        if snapshot is not None and record.scope == snapshot.scope and record.name in readable:
            named[record.name] = records.value(tx, record)
        else:
            others.add(records.value(tx, record))
    use_only = frozenset(name for name in named if not readable[name])
    return StoreValues(named, use_only, frozenset(others.difference(named.values())))


def list_visible(tx: Transaction, snapshot: PolicySnapshot) -> dict[str, bool]:
    """The names that a project is shown, sorted, and whether agents are given their values."""
    decided_by = ("shown", snapshot.project.identities, snapshot.trust, snapshot.data[0], tx.head.grants)
    names: dict[str, bool] | None = tx.remembered.get(decided_by)
    if names is None:
        names = tx.remembered[decided_by] = dict(sorted(_readable(iterate_visible(tx, snapshot)).items()))
    return names


def iterate_visible(tx: Transaction, snapshot: PolicySnapshot) -> Iterator[tuple[Record, AllowlistEntry]]:
    """The secrets that agents of a project may use as far as allowlist and trust go, with their entries."""
    exact = snapshot.allowlist.names
    looked_up = (records.find(tx, snapshot.scope, name) for name in exact or ())
    yield from _among(tx, snapshot, records.iterate_all(tx) if exact is None else looked_up)


def _among(
    tx: Transaction, snapshot: PolicySnapshot, candidates: Iterable[Record | None]
) -> Iterator[tuple[Record, AllowlistEntry]]:
    for record in candidates:
        if record is None or record.deleted or record.scope != snapshot.scope:
            continue
        if consent.is_trusted(tx, snapshot, record):
            entry = snapshot.allowlist.entry_for(record.name)
            if entry is not None:
                yield record, entry


def _readable(secrets: Iterable[tuple[Record, AllowlistEntry]]) -> dict[str, bool]:
    return {
        record.name: refusals.may_be_read(record=record.access, allowlisted=entry.access) for record, entry in secrets
    }
