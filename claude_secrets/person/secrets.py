"""Store, read, delete and list the person's secrets.

Always: the allowlist does not restrict the person, because the keyring protects the store. If the person stores a
secret from inside a project, that project may use the secret.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from claude_secrets.errors import CallerError, Code, StoreError
from claude_secrets.model import PERSON, Access, EnteredBy, Expiry, check_name, check_scope, check_value
from claude_secrets.person.person import Person
from claude_secrets.regex import NameSearch
from claude_secrets.store import grants, records
from claude_secrets.store.grants import Grant
from claude_secrets.store.location import SplitStoreError
from claude_secrets.store.records import Record, Stored
from claude_secrets.store.transaction import Transaction

_READABLE_STILL: Final = {
    Code.STORE_TAMPERED: "the store fails verification: this value may be an older one, or one that was deleted",
    Code.STORE_UNAVAILABLE: "the store is read-only: it can be read, but not changed",
    Code.STORE_FULL: "the disk is full: this command is not in the log",
    Code.STORE_BUSY: "the store is busy: this command is not in the log",
}
"""The errors after which the person may still read a value, and the warning for each."""


def set_value(
    person: Person, name: str, value: str, access: Access | None = None, *, expires: int | Expiry = Expiry.UNCHANGED
) -> Stored:
    """Store a value. Inside a project the secret becomes the project's own, or the project gets a grant on it.

    If the secret was deleted, or an agent of another project stored its current version, the secret no longer belongs
    to the other project.

    If `access` is None, a secret that was stored before keeps its access. A new secret gets the person's
    `default_access`, or `readable` if that is not set. `expires` is as in `records.put`.
    """
    check_name(name)
    check_value(value)
    with person.store.write() as tx:
        return put(person, tx, name, value, access, action="set", expires=expires)


def put(
    person: Person,
    tx: Transaction,
    name: str,
    value: str,
    access: Access | None = None,
    *,
    action: str,
    expires: int | Expiry = Expiry.UNCHANGED,
) -> Stored:
    """Store a value as `set_value` does, but in an open transaction, and log the change as `action`."""
    before, identity = records.find(tx, check_scope(person.scope), check_name(name)), person.identity(tx)
    stored = records.put(
        tx,
        scope=person.scope,
        name=name,
        value=check_value(value),
        origin=identity or PERSON,
        entered_by=EnteredBy.PERSON,
        access=access or (person.config.default_access if before is None else None),
        expires=expires,
        keep=person.config.keep_versions,
    )
    record = records.find(tx, person.scope, name)
    if identity and record and record.origin != identity:
        grants.add(tx, Grant(project=identity, scope=person.scope, name=name))
    person.grant_scope(tx)
    person.log(tx, action, name)
    return stored


def get_value(person: Person, name: str, *, warn: Callable[[str], None]) -> str:
    """Return the current value.

    If the store is damaged or cannot be written, the value is still returned, and `warn` is called with a warning.

    Raises:
        CallerError: NOT_FOUND.
    """
    values = get_values(person, [name], "get", warn=warn)
    if name not in values:
        raise person.missing(name)
    return values[name]


def get_values(
    person: Person,
    names: Sequence[str],
    action: str,
    *,
    warn: Callable[[str], None],
    accept: Callable[[Mapping[str, str]], object] = dict,
) -> dict[str, str]:
    """Return the current values of the secrets in `names` that exist. Each access is logged as `action`.

    `accept` gets the values first. If it raises an error, no value is given out, and no access is logged as done.

    A store that is damaged or cannot be written is handled as in `get_value`.
    """
    for name in names:
        check_name(name)
    if not person.store.exists():
        accept({})
        return {}
    try:
        with person.store.write(durable=False) as tx:
            values = _values(person, tx, names)
            accept(values)
            for name in values:
                person.log(tx, action, name)
    except StoreError as error:
        if error.code not in _READABLE_STILL or isinstance(error, SplitStoreError):
            raise
        values = _unlogged(person, names, error.code, warn)
        accept(values)
    return values


def require(person: Person, name: str) -> None:
    """Raise `CallerError` NOT_FOUND if there is no such secret."""
    person.require_store(check_name(name))
    with person.store.read() as tx:
        person.existing(tx, name)


def exists(person: Person, name: str) -> bool:
    """Return whether a secret with this name is stored and not deleted."""
    if not person.store.exists():
        return False
    with person.store.read() as tx:
        record = records.find(tx, person.scope, check_name(name))
    return record is not None and not record.deleted


def delete(person: Person, name: str) -> bool:
    """Delete a secret but keep its versions. Return False if the secret does not exist."""
    check_name(name)
    if not person.store.exists():
        return False
    with person.store.write() as tx:
        record = records.find(tx, person.scope, name)
        if record is None or record.deleted:
            return False
        records.delete(tx, record, entered_by=EnteredBy.PERSON, keep=person.config.keep_versions)
        person.log(tx, "delete", name)
    return True


def set_access(person: Person, names: Sequence[str], access: Access) -> list[str]:
    """Set the access of all secrets in `names`. Return the names whose access changed.

    If one of the secrets does not exist, no access is changed.

    Raises:
        CallerError: NOT_FOUND.
    """
    for name in names:
        check_name(name)
        person.require_store(name)
    with person.store.write() as tx:
        changed = [name for name in names if records.set_access(tx, person.existing(tx, name), access)]
        for name in changed:
            person.log(tx, f"access {access.value}", name)
    return changed


def is_use_only(person: Person, name: str) -> bool:
    """Return whether a secret is use-only, or False if it was never stored."""
    if not person.store.exists():
        return False
    with person.store.read() as tx:
        record = records.find(tx, person.scope, check_name(name))
    return record is not None and record.access is Access.USE_ONLY


def rename(person: Person, name: str, new_name: str) -> None:
    """Rename a secret with its versions and grants.

    The scope must have no secret, not even a deleted secret, with the new name.

    Raises:
        CallerError: NOT_FOUND, or INVALID_NAME if the new name is already used.
    """
    check_name(name)
    check_name(new_name)
    person.require_store(name)
    with person.store.write() as tx:
        record = person.existing(tx, name)
        if records.find(tx, person.scope, new_name) is not None:
            raise CallerError(
                Code.INVALID_NAME,
                f"The name '{new_name}' is already used by a secret, or by a deleted secret whose versions are kept.",
                "Choose another name.",
            )
        records.rename(tx, record, new_name)
        for grant in grants.list_all(tx):
            if (grant.scope, grant.name) == (person.scope, name):
                grants.remove(tx, grant)
                grants.add(tx, Grant(project=grant.project, scope=grant.scope, name=new_name))
        person.log(tx, "rename", name)
        person.log(tx, "rename to", new_name)


def list_all(person: Person) -> list[Record]:
    """Return the secrets of all scopes, sorted by scope and name. Deleted secrets are left out."""
    if not person.store.exists():
        return []
    with person.store.read() as tx:
        live = [record for record in records.iterate_all(tx) if not record.deleted]
    return sorted(live, key=lambda record: (record.scope, record.name))


def search(person: Person, pattern: str) -> list[Record]:
    """Return the secrets whose names contain a match of the RE2 pattern. The search ignores case."""
    search, live = NameSearch(pattern), list_all(person)
    names = set(search.among([record.name for record in live]))
    return [record for record in live if record.name in names]


def _unlogged(person: Person, names: Sequence[str], why: Code, warn: Callable[[str], None]) -> dict[str, str]:
    """Return values from a store that cannot log the access, and call `warn` with a warning."""
    whole, immutable = why is not Code.STORE_TAMPERED, why is Code.STORE_UNAVAILABLE
    with person.store.read(whole=whole, immutable=immutable) as tx:
        values = _values(person, tx, names)
    warn(_READABLE_STILL[why])
    return values


def _values(person: Person, tx: Transaction, names: Sequence[str]) -> dict[str, str]:
    stored = ((name, records.find(tx, person.scope, name)) for name in names)
    return {name: records.value(tx, record) for name, record in stored if record and not record.deleted}
