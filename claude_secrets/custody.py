"""Custody of the data key: the key slots, each one wrapped copy of it, and the master keys that unwrap them.

Always: a master key is only ever in the OS keyring or in a key file of the person (0600, never beside the store),
never in an error, a `repr` or the store; an existing keyring entry or file is never overwritten; there is no silent
fallback from one kind of slot to another. `store.py` and the faces import this module.
"""

import errno
import json
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from claude_secrets.cipher import DataKey, EnvelopeMismatch, TokenInvalid, new_master_key, unwrap, wrap
from claude_secrets.errors import Code, CustodyError
from claude_secrets.keyring_backend import SystemKeyring
from claude_secrets.paths import command

KEYRING: Final = "keyring"
FILE: Final = "file"

_KINDS: Final = (KEYRING, FILE)
_PUT_BACK: Final = "Put back the key that this store was made with; without it the store cannot be opened."
_KEY_FILE_LIMIT: Final = 256
# Of several failures the one a person can mend soonest is told.
_TOLD_FIRST: Final = (Code.KEYRING_LOCKED, Code.KEYRING_UNAVAILABLE, Code.KEY_WRONG, Code.KEY_MISSING)
# A link is not followed, and a pipe in the file's place does not block; Windows knows neither flag.
_OPEN_SAFELY: Final = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


@dataclass(frozen=True, slots=True)
class Slot:
    """One wrapped copy of the data key, as the store keeps it.

    `kind` says where the master key is: `keyring` (`params` is `{}`) or `file` (`params` is `{"path": …}`).
    """

    slot_id: str
    kind: str
    params: str
    wrapped: bytes = field(repr=False)

    @property
    def key_file(self) -> Path | None:
        """The absolute path of the slot's key file; None for another kind of slot.

        Raises:
            CustodyError: KEY_WRONG where `params` were changed into something else.
        """
        if self.kind != FILE:
            return None
        try:
            path = json.loads(self.params)["path"]
            if isinstance(path, str) and b"\0" not in os.fsencode(path) and Path(path).is_absolute():
                return Path(path)
        except (ValueError, TypeError, KeyError, RecursionError):
            pass  # told below, as any other content that does not fit
        raise CustodyError(Code.KEY_WRONG, "A key slot of the store does not say where its key file is.", _PUT_BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyringStatus:
    """What `doctor` says about the OS keyring: its name, whether it works, and if not why."""

    name: str
    ok: bool
    message: str
    code: Code | None = None
    hint: str | None = None


class Custody:
    """Makes and opens key slots.

    `clock` returns seconds since 1970; `check_key_file` raises for a key file in a place where none may be;
    `keyring` is the OS keyring, by default the one of `environment` and `platform`.
    """

    def __init__(
        self,
        *,
        environment: MutableMapping[str, str] = os.environ,
        platform: str = sys.platform,
        clock: Callable[[], float] = time.time,
        check_key_file: Callable[[Path], None] | None = None,
        keyring: SystemKeyring | None = None,
    ) -> None:
        self._clock = clock
        self._check_key_file = check_key_file
        self._keyring = keyring or SystemKeyring(environment, platform)

    def unlock(self, store_id: str, slots: Sequence[Slot]) -> DataKey:
        """Unwrap the data key by the first slot that opens: those of the keyring first, then key files.

        Raises:
            CustodyError: KEY_MISSING (no master key is there), KEY_WRONG (what is there does not open the slot or may
                not be used), KEYRING_LOCKED or KEYRING_UNAVAILABLE.
        """
        failures = []
        for slot in sorted(slots, key=lambda slot: _KINDS.index(slot.kind) if slot.kind in _KINDS else len(_KINDS)):
            try:
                return self._unwrap(store_id, slot)
            except CustodyError as error:
                failures.append(error)
        if not failures:
            raise CustodyError(Code.KEY_MISSING, "The store has no key slot, so nothing can open it.", _PUT_BACK)
        raise min(failures, key=lambda error: _TOLD_FIRST.index(error.code) if error.code in _TOLD_FIRST else -1)

    def new_keyring_slot(self, store_id: str, data_key: DataKey) -> Slot:
        """Make a master key in the OS keyring and wrap `data_key` with it.

        Raises:
            CustodyError: KEYRING_LOCKED or KEYRING_UNAVAILABLE, with the command that chooses a key file instead.
        """
        slot_id, master_key = secrets.token_hex(8), new_master_key()
        try:
            self._keyring.create(_entry(store_id, slot_id), master_key.decode("ascii"))
        except CustodyError as error:
            other = f"Or keep the key in a file of your own: `{command()} init --key-file PATH`."
            raise CustodyError(error.code, error.message, f"{error.hint} {other}") from None
        return self._new_slot(store_id, slot_id, master_key, data_key)

    def new_file_slot(self, store_id: str, data_key: DataKey, path: Path, *, store: Path) -> Slot:
        """Make a master key in a new file (0600) and wrap `data_key` with it; `store` is the store's own path.

        Raises:
            CustodyError: KEY_MISSING where no key file can or may be made at `path`; nothing is left there.
        """
        path = path.absolute()
        if self._check_key_file is not None:
            self._check_key_file(path)
        if _same_directory(path.parent, store.absolute().parent):
            raise CustodyError(
                Code.KEY_MISSING,
                "The key file would stand beside the store, and whoever copies one would have both.",
                "Choose another directory for it.",
            )
        slot_id, master_key = secrets.token_hex(8), new_master_key()
        _write_key_file(path, master_key)
        return self._new_slot(store_id, slot_id, master_key, data_key, path)

    def discard(self, store_id: str, slot: Slot) -> None:
        """Take back the keyring entry or key file of a slot that was made for a store that was not kept.

        Never raises `CustodyError`: a key that stays behind opens nothing, and it is the reason why the store was not
        kept that a person has to hear.
        """
        with suppress(CustodyError):
            if slot.kind == KEYRING:
                self._keyring.delete(_entry(store_id, slot.slot_id))
            elif (path := slot.key_file) is not None:
                self._unwrap(store_id, slot)  # only the very file that was made for it
                with suppress(OSError):
                    path.unlink()

    def keyring_status(self) -> KeyringStatus:
        """Whether the OS keyring answers; reads an entry that is not there and writes nothing."""
        name = self._keyring.name
        try:
            self._keyring.read("status")
        except CustodyError as error:
            return KeyringStatus(name=name, ok=False, message=error.message, code=error.code, hint=error.hint)
        return KeyringStatus(name=name, ok=True, message="The system's keyring works.")

    def _new_slot(
        self, store_id: str, slot_id: str, master_key: bytes, data_key: DataKey, key_file: Path | None = None
    ) -> Slot:
        kind, params = (KEYRING, {}) if key_file is None else (FILE, {"path": str(key_file)})
        token = wrap(master_key, data_key, store_id=store_id, slot_id=slot_id, slot_kind=kind, now=self._clock())
        return Slot(slot_id, kind, json.dumps(params, separators=(",", ":")), token)

    def _unwrap(self, store_id: str, slot: Slot) -> DataKey:
        master_key = self._master_key(store_id, slot)
        try:
            return unwrap(master_key, slot.wrapped, store_id=store_id, slot_id=slot.slot_id, slot_kind=slot.kind)
        except TokenInvalid:
            what = "The key in the system's keyring" if slot.kind == KEYRING else "What is in the key file"
            raise CustodyError(Code.KEY_WRONG, f"{what} does not open this store.", _PUT_BACK) from None
        except EnvelopeMismatch:
            raise CustodyError(Code.KEY_WRONG, "A key slot of the store belongs to another store.", _PUT_BACK) from None

    def _master_key(self, store_id: str, slot: Slot) -> bytes:
        if slot.kind == KEYRING:
            text = self._keyring.read(_entry(store_id, slot.slot_id))
            if text is None:
                raise CustodyError(
                    Code.KEY_MISSING, "The system's keyring does not hold the key of this store.", _PUT_BACK
                )
            return text.encode("utf-8", "replace")  # what is no key fails to open the slot
        path = slot.key_file
        if path is None:
            raise CustodyError(
                Code.KEY_MISSING,
                "This version of Claude Secrets does not know how the key of this store is kept.",
                "Upgrade Claude Secrets.",
            )
        if self._check_key_file is not None:
            self._check_key_file(path)
        return _read_key_file(path)


def _entry(store_id: str, slot_id: str) -> str:
    return f"{store_id}.{slot_id}"


def _same_directory(one: Path, other: Path) -> bool:
    with suppress(OSError, RuntimeError):  # one that is not there, or links in a circle: not the same
        return one.resolve() == other.resolve() or one.samefile(other)
    return False


def _write_key_file(path: Path, master_key: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN_SAFELY, 0o600)
    except FileExistsError:
        raise CustodyError(
            Code.KEY_MISSING, "There is a file already where the key file should be made.", "Choose another path."
        ) from None
    except OSError:
        raise _unmade() from None
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123  it is open already
            if sys.platform != "win32":
                os.fchmod(descriptor, 0o600)  # whatever the umask took away
            file.write(master_key + b"\n")
            file.flush()
            os.fsync(descriptor)
        _sync_directory(path.parent)
        # Read back as it will be read: some file systems do not keep modes or owners.
        kept = _read_key_file(path) == master_key
    except (OSError, CustodyError):
        kept = False
    if not kept:
        with suppress(OSError):
            path.unlink()
        raise _unmade()


def _unmade() -> CustodyError:
    return CustodyError(
        Code.KEY_MISSING,
        "The key file cannot be made there.",
        "Choose a path in an existing directory of yours, on a file system that keeps modes and owners.",
    )


def _sync_directory(directory: Path) -> None:
    if sys.platform == "win32":  # a directory cannot be opened there
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_key_file(path: Path) -> bytes:
    """The content of a key file; everything is checked on the open descriptor, so that nothing can change between."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _OPEN_SAFELY)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):  # what systems say of a link that is not followed
            raise CustodyError(Code.KEY_WRONG, "The key file is a link.", "Put the file itself there.") from None
        raise CustodyError(
            Code.KEY_MISSING, "The key file of this store is not there or cannot be read.", _PUT_BACK
        ) from None
    try:
        _check_private(os.fstat(descriptor))
        return os.read(descriptor, _KEY_FILE_LIMIT).strip()
    except OSError:
        raise CustodyError(Code.KEY_MISSING, "The key file of this store cannot be read.", _PUT_BACK) from None
    finally:
        os.close(descriptor)


def _check_private(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise CustodyError(Code.KEY_WRONG, "What is in the key file's place is not a regular file.", _PUT_BACK)
    if sys.platform == "win32":  # who may read it stands in its access list there, not in a mode
        return
    if status.st_uid != os.geteuid():
        raise CustodyError(Code.KEY_WRONG, "The key file belongs to another user.", "Make it yours (chown).")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise CustodyError(Code.KEY_WRONG, "Others can read the key file.", "Make it yours alone (chmod 600).")
