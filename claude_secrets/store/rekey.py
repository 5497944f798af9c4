"""Seal all rows of a store again with a new data key, and copy records from one store to another.

Always: every row is opened and verified before it is sealed again. A row that fails verification is never skipped.
"""

from collections.abc import Callable, Iterable

from claude_secrets.keys.cipher import Cipher, DataKey, Envelope
from claude_secrets.store import audit, grants, records, versions
from claude_secrets.store.records import Record
from claude_secrets.store.transaction import StoreHead, Transaction


def replace_data_key(tx: Transaction, data_key: DataKey, progress: Callable[[int, int], None]) -> None:
    """Seal every row with `data_key`, which must have the next key generation. The caller changes the key slots.

    Counters are deleted: their new row keys cannot be computed, because a counter's row contains neither the project
    nor the action. All limits therefore start again. `progress` is called with the number of finished records and log
    entries, and with the total.

    Raises:
        StoreError: STORE_TAMPERED; nothing is committed.
    """
    all_records, _ = records.verify_all(tx)
    audit.verify(tx)
    granted, events = grants.with_times(tx), list(audit.entries(tx))
    total, done = len(all_records) + len(events), 0
    new = Transaction(tx.connection, Cipher(tx.cipher.store_id, data_key), _empty_head(tx), tx.now)
    for record in all_records:
        copied = [(number, envelope) for number, envelope in records.rows(tx, record)]
        records.purge(tx, record)
        copy_record(new, record, copied)
        progress(done := done + 1, total)
    for table in ("grants", "counters", "audit"):
        tx.connection.execute(f"DELETE FROM {table}")  # noqa: S608  our own names
    new.amend(grants=new.table_digest("grants"), counters=new.table_digest("counters"))
    for grant, created in granted:
        grants.add(new, grant, created=created)
    for entry in events:
        audit.write(new, entry)
        progress(done := done + 1, total)
    new.amend(slots=new.table_digest("key_slots"))
    tx.connection.execute("UPDATE store SET generation = ? WHERE id = 1", (data_key.generation,))
    tx.cipher, tx.head, tx.dirty = new.cipher, new.head, True


def copy_record(tx: Transaction, record: Record, rows: Iterable[tuple[int, Envelope]]) -> None:
    """Write a record and its versions (`rows`) to the store of `tx`.

    The scope must not have a record with the same name in that store.
    """
    key, total = records.key_of(tx, record.scope, record.name), "0"
    for number, envelope in rows:
        fields = versions.own_fields(envelope)
        total = versions.insert(tx, key, number, fields=fields, payload=envelope.payload, history=total)
    records.write_head(tx, record._replace(history=total), key)


def _empty_head(tx: Transaction) -> StoreHead:
    return StoreHead(
        changes=tx.head.changes,
        records="0",
        grants="",
        counters="",
        slots="",
        audit_sequence=tx.head.audit_sequence,
    )
