"""Looking at a whole store for the person: what is damaged, and every value, to look for it elsewhere.

Always: nothing is changed but the log. The faces call it with the `Person` who asks.
"""

from collections.abc import Callable

from claude_secrets.model import SHARED
from claude_secrets.person.person import Person
from claude_secrets.store import audit, counters, grants, records, salvage


def damages(person: Person, progress: Callable[[int, int], None]) -> list[str]:
    """What is damaged, record by record, in words; `progress` is told how many of how many are looked at.

    Raises:
        CustodyError: the key cannot be had.
        StoreError: nothing in the store can be read.
    """
    with person.store.read(whole=False) as tx:
        return [line for examined in salvage.examine(tx, progress) for line in examined.wrong]


def every_value(person: Person, action: str) -> dict[str, str]:
    """The current values of all secrets, to look for them elsewhere; by name, and `SCOPE/NAME` outside of `shared`.

    The log says `action`.

    Raises:
        StoreError: STORE_TAMPERED.
    """
    with person.store.write(durable=False) as tx:
        person.log(tx, action)
        return {
            record.name if record.scope == SHARED else f"{record.scope}/{record.name}": records.value(tx, record)
            for record in records.iterate_all(tx)
            if not record.deleted
        }


def check_store(person: Person) -> tuple[int, int]:
    """Verify every row of the store. Returns how many secrets and versions it holds.

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
