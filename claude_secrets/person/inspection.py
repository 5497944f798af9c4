"""Inspect a whole store for the person: list damage, verify every row, and return every value for a scan.

Always: these functions change only the log. Callers pass the `Person` who runs the command.
"""

from collections.abc import Callable

from claude_secrets.errors import Code
from claude_secrets.model import SHARED
from claude_secrets.person.person import Person
from claude_secrets.store import audit, counters, grants, records, salvage


def damages(person: Person, progress: Callable[[int, int], None]) -> list[str]:
    """Return a sentence for each damage in the store's records.

    `progress` receives the number of examined records and the number of all records.

    Raises:
        CustodyError: the key cannot be fetched.
        StoreError: nothing in the store can be read.
    """
    with person.store.read(whole=False) as tx:
        return [line for examined in salvage.examine(tx, progress) for line in examined.wrong]


def every_value(person: Person, action: str, *, refused: Code | None = None) -> dict[str, str]:
    """Return the current values of all secrets, so that the caller can search other texts for the values.

    The keys are `NAME` for secrets in the scope `shared`, and `SCOPE/NAME` for all others. The access is logged as
    `action`, as done or with the code with which it was `refused`.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    with person.store.write(durable=False) as tx:
        person.log(tx, action, refused=refused)
        return {
            record.name if record.scope == SHARED else f"{record.scope}/{record.name}": records.value(tx, record)
            for record in records.iterate_all(tx)
            if not record.deleted
        }


def check_store(person: Person) -> tuple[int, int]:
    """Verify every row of the store. Return the number of secrets and the number of versions.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    with person.store.read() as tx:
        stored, versions = records.verify_all(tx)
        grants.list_all(tx)
        counters.verify_all(tx)
        audit.verify(tx)
        tx.verify_table("key_slots", tx.head.slots)
    return sum(not record.deleted for record in stored), versions
