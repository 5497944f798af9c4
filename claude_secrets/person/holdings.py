"""Find everything that belongs to a store: its secrets, keyring entries, key files, old copies and draft.

Always: nothing is changed. A store that no key opens is described, too. A keyring entry belongs to the store only if
its name has the store's id and the id of one of the store's key slots.
"""

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from claude_secrets.errors import Code, CustodyError, InputError, SecretsError, StoreError
from claude_secrets.keys.cipher import StoreIdentity
from claude_secrets.keys.custody import Custody, entry_name
from claude_secrets.keys.slot import KEYRING, Slot
from claude_secrets.person import old_copies
from claude_secrets.person.old_copies import OldCopy
from claude_secrets.person.person import Person
from claude_secrets.shell_words import removal
from claude_secrets.store import creation, records, schema
from claude_secrets.store.store import Store

_STORE_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_SLOT_ID: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)
_LOGS: Final = ("-wal", "-shm", "-journal")
"""The suffixes of the files that SQLite makes beside a store."""


class Counts(NamedTuple):
    """The numbers of secrets (including deleted secrets), of deleted secrets and of versions in a store."""

    secrets: int
    deleted: int
    versions: int


class KeyringEntry(NamedTuple):
    """The keyring entry of one key slot. `failure` is None, or the error of a keyring that cannot be reached."""

    identity: StoreIdentity
    slot: Slot
    failure: CustodyError | None

    @property
    def name(self) -> str:
        """The name of the entry in the keyring: the store's id and the slot's id."""
        return entry_name(self.identity.store_id, self.slot.slot_id)


class Holdings(NamedTuple):
    """Everything that belongs to the store at `path`.

    `real` is the store's file after links are resolved, and `number` its device and inode, or None if it is missing.
    `identity` is None if the file is missing or too damaged. `counts` is None if the store was not opened, and
    `failure` then has the reason. `changed` is the time of the last change in seconds since 1970. `leftovers` are
    files that an interrupted creation or removal left. `unread` are copies, or the store itself, whose key slots are
    unreadable. `key_files` are the key files that exist. `unproven` are files that are named like a copy, but are no
    stores.
    """

    path: Path
    real: Path
    number: tuple[int, int] | None
    identity: StoreIdentity | None
    counts: Counts | None
    failure: SecretsError | None
    changed: float | None
    entries: tuple[KeyringEntry, ...]
    copies: tuple[OldCopy, ...]
    leftovers: tuple[Path, ...]
    unread: tuple[Path, ...]
    key_files: tuple[Path, ...]
    unproven: tuple[OldCopy, ...]

    @property
    def is_empty(self) -> bool:
        """Whether no file belongs to the store."""
        return self.number is None and not (self.copies or self.leftovers)


class _Part(NamedTuple):
    """A file that names keys: the store, an old copy or a draft."""

    path: Path
    identity: StoreIdentity
    slots: Sequence[Slot]


def describe(person: Person, *, opens: bool = True) -> Holdings:
    """Return everything that belongs to the person's store. If `opens` is false, do not try to open the store.

    Raises:
        CustodyError: KEYRING_LOCKED.
        StoreError: the file is not a store, belongs to another user or another version, has a second name, or is busy.
    """
    store, path = person.store, person.store.path.absolute()
    real = Path(os.path.realpath(path))
    changed = _last_change(real)  # before the store is opened, which can write to its log
    main = _main(store, real) if os.path.lexists(real) else None
    counts, failure = _counted(store) if main is not None and opens else (None, None)
    copied = old_copies.list_copies(path)
    copies = [copy for copy in copied if copy.store_id is not None]
    parts = [part for part in (main, *map(_of_copy, copies), _of_draft(path, main)) if part is not None]
    read = {part.path for part in parts if part.slots}
    return Holdings(
        path=path,
        real=real,
        number=number_of(real) if main is not None else None,
        identity=main and main.identity,
        counts=counts,
        failure=failure,
        changed=changed,
        entries=tuple(_entries(store.custody, parts)),
        copies=tuple(copies),
        leftovers=tuple(_leftovers(path, real, has_main=main is not None)),
        unread=tuple(each for each in (*([real] if main else []), *(c.path for c in copies)) if each not in read),
        key_files=tuple(dict.fromkeys(_key_files(store.custody, parts))),
        unproven=tuple(copy for copy in copied if copy.store_id is None),
    )


def _main(store: Store, real: Path) -> _Part:
    """Return the store's identity and slots. Of a damaged store, return what can still be read."""
    try:
        identity, slots = store.key_state()
        return _Part(real, identity, slots)
    except StoreError as error:
        store_id = old_copies.store_id_in(real) if old_copies.is_own_file(real) else None
        if error.code is not Code.STORE_TAMPERED:
            raise
        if store_id is None:
            raise error.with_hint(f"{error.hint} Or remove the file yourself: {removal(real)}") from None
        return _Part(real, StoreIdentity(store_id, 0), _salvaged_slots(real))


def _salvaged_slots(path: Path) -> list[Slot]:
    """Return the key slots of a damaged store that can still be read. The file is not changed."""
    found = list[Slot]()
    address = f"file:{quote(str(path))}?immutable=1"
    with suppress(StoreError), schema.translated(), closing(sqlite3.connect(address, uri=True)) as connection:
        for row in connection.execute("SELECT slot_id, kind, params, wrapped FROM key_slots"):
            found.append(Slot(*row))  # one by one, so that the rows before a damaged page are kept
    return found


def _of_copy(copy: OldCopy) -> _Part | None:
    with suppress(SecretsError), closing(Store(copy.path, Custody(environment={}), lambda: 0.0)) as opened:
        return _Part(copy.path, *opened.key_state())
    return None


def _of_draft(path: Path, main: _Part | None) -> _Part | None:
    """Return the key that a killed creation may have stored. If the store exists, its draft names no other key."""
    begun = creation.draft_of(path)
    named = creation.read_draft(begun) if main is None and old_copies.is_own_file(begun) else None
    return named and _Part(begun, named[0], [named[1]])


def _counted(store: Store) -> tuple[Counts | None, SecretsError | None]:
    """Return the numbers, or the reason why the store cannot be opened. Raises `StoreError` for a busy store."""
    try:
        with store.read() as tx:
            stored = [record.deleted for record in records.iterate_all(tx)]
            versions = tx.connection.execute("SELECT count(*) FROM versions").fetchone()[0]
    except (CustodyError, InputError, StoreError) as error:
        if error.code in (Code.STORE_BUSY, Code.KEYRING_LOCKED):
            raise
        return None, error
    return Counts(secrets=len(stored), deleted=sum(stored), versions=versions), None


def _entries(custody: Custody, parts: Sequence[_Part]) -> Iterator[KeyringEntry]:
    """Yield the keyring entries that exist or that cannot be looked for. Only valid ids are looked for."""
    seen = set[str]()
    for part in parts:
        for slot in part.slots:
            name = entry_name(part.identity.store_id, slot.slot_id)
            if slot.kind != KEYRING or name in seen or not _is_valid(part.identity, slot):
                continue
            seen.add(name)
            failure = custody.probe(part.identity, slot)
            if failure is not None and failure.code is Code.KEYRING_LOCKED:
                raise failure
            if failure is None or failure.code is not Code.KEY_MISSING:
                gone = failure is not None and failure.code is Code.KEYRING_UNAVAILABLE
                yield KeyringEntry(part.identity, slot, failure if gone else None)


def _is_valid(identity: StoreIdentity, slot: Slot) -> bool:
    ids = ((_STORE_ID, identity.store_id), (_SLOT_ID, slot.slot_id))
    return all(isinstance(text, str) and pattern.fullmatch(text) is not None for pattern, text in ids)


def _key_files(custody: Custody, parts: Sequence[_Part]) -> Iterator[Path]:
    for part in parts:
        for slot in part.slots:
            with suppress(CustodyError):  # an invalid path leads to no file
                named = custody.named_file if slot.key_file is not None else None
                yield from (path for path in (slot.key_file, named) if path is not None and os.path.lexists(path))


def _leftovers(path: Path, real: Path, *, has_main: bool) -> Iterator[Path]:
    """Yield the files of a store whose own file is missing: its logs, its draft, and the link that led to it."""
    if has_main:
        return
    yield from (each for each in logs_of(real) if old_copies.is_own_file(each))
    yield from (each for each in [creation.draft_of(path)] if old_copies.is_own_file(each))
    if path.is_symlink():
        yield path


def logs_of(real: Path) -> list[Path]:
    """Return the paths of the files that SQLite makes beside the store at `real`."""
    return [real.with_name(f"{real.name}{suffix}") for suffix in _LOGS]


def _last_change(real: Path) -> float | None:
    times = []
    for path in (real, real.with_name(f"{real.name}-wal")):
        with suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times, default=None)


def number_of(path: Path) -> tuple[int, int] | None:
    """Return a file's device and inode, or None if there is no file."""
    with suppress(OSError):
        status = path.lstat()
        return status.st_dev, status.st_ino
    return None
