"""The stored names that agents of a project may see.

Always: only names that the allowlist has and that the project is trusted with; never values.
"""

from collections.abc import Iterable, Iterator

from claude_secrets.agent import consent
from claude_secrets.policy import decisions
from claude_secrets.policy.allowlist import AllowlistEntry
from claude_secrets.policy.snapshot import PolicySnapshot
from claude_secrets.store import records
from claude_secrets.store.records import Record
from claude_secrets.store.transaction import Transaction


def list_visible(tx: Transaction, snapshot: PolicySnapshot) -> dict[str, bool]:
    """The names that agents of a project may see, sorted, and whether agents may read their values."""
    decided_by = ("shown", snapshot.project.identities, snapshot.trust, snapshot.data[0], tx.head.grants)
    names: dict[str, bool] | None = tx.remembered.get(decided_by)
    if names is None:
        names = tx.remembered[decided_by] = dict(sorted(readable_by_name(iterate_visible(tx, snapshot)).items()))
    return names


def iterate_visible(tx: Transaction, snapshot: PolicySnapshot) -> Iterator[tuple[Record, AllowlistEntry]]:
    """The secrets that allowlist and trust let agents of a project use, with their entries."""
    exact = snapshot.allowlist.names
    looked_up = (records.find(tx, snapshot.scope, name) for name in exact or ())
    yield from visible_among(tx, snapshot, records.iterate_all(tx) if exact is None else looked_up)


def visible_among(
    tx: Transaction, snapshot: PolicySnapshot, candidates: Iterable[Record | None]
) -> Iterator[tuple[Record, AllowlistEntry]]:
    """The candidates that agents of the project may use, with their allowlist entries."""
    for record in candidates:
        if record is None or record.deleted or record.scope != snapshot.scope:
            continue
        if consent.is_trusted(tx, snapshot, record):
            entry = snapshot.allowlist.entry_for(record.name)
            if entry is not None:
                yield record, entry


def readable_by_name(secrets: Iterable[tuple[Record, AllowlistEntry]]) -> dict[str, bool]:
    """Whether agents may read the value, by name."""
    return {
        record.name: decisions.may_be_read(record=record.access, allowlisted=entry.access) for record, entry in secrets
    }
