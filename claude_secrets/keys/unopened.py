"""The errors for a key that does not open its store, and for a place that cannot hold a new key.

Always: the error says what the person can do next, in the order in which it helps. An error for an agent does not show
the path of a key file.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from claude_secrets.errors import CallerError, Code, CustodyError
from claude_secrets.keys.key_file import PUT_BACK, put_back
from claude_secrets.keys.slot import FILE, KEYRING, PASSPHRASE, Slot
from claude_secrets.paths import command

_SOONEST_FIXED: Final = (Code.KEYRING_LOCKED, Code.KEYRING_UNAVAILABLE, Code.KEY_WRONG, Code.KEY_MISSING)

_IN_FILE: Final = " --key-file NEW_PATH"
_OPENS_NOTHING: Final = "does not open this store."


def error_of(failures: Sequence[CustodyError], slots: Sequence[Slot], *, for_person: bool) -> CustodyError:
    """Return the error to report for a store with these key slots.

    `failures` has one error for each slot that was tried. Of several, the one that the person can fix soonest is
    reported. If the store has a recovery code, the hint says how to use it. If the key is lost and `for_person` is
    true, the hint also says how to use a backup.
    """
    if not failures:
        return _untried(slots)
    told = min(failures, key=_rank)
    into = new_place(slots) if told.code is not Code.KEYRING_UNAVAILABLE else _IN_FILE
    hints = [told.hint or ""]
    if any(slot.is_recovery for slot in slots):
        hints.append(f"Or open the store with its recovery code: `{command()} recover use{into}`.")
    if is_lost(told) and for_person:
        hints.append(f"Or make a new store from a backup: `{command()} backup restore FILE --aside{into}`.")
    return told.with_hint(" ".join(hints))


def new_place(slots: Sequence[Slot]) -> str:
    """Return the option that puts a new key into a file, or no text if a slot uses the keyring."""
    return "" if any(slot.kind == KEYRING for slot in slots) else _IN_FILE


def is_lost(failure: CustodyError) -> bool:
    """Return whether the failure means that the slot's key is lost here, and not only refused or out of reach."""
    return failure.code is Code.KEY_MISSING or failure.message.endswith(_OPENS_NOTHING)


@contextmanager
def of_file(*, for_person: bool) -> Iterator[None]:
    """Report the errors of a key file. For an agent, replace their hints, which contain the file's path."""
    try:
        yield
    except CustodyError as error:
        raise error if for_person else error.with_hint(_ask_doctor()) from None


def opens_nothing(slot: Slot, path: Path | None) -> CustodyError:
    """Return the error for a key that does not unwrap the data key of its slot. `path` is its key file, or None."""
    what = {KEYRING: "The key in the system's keyring", FILE: "The key in the key file"}
    return CustodyError(Code.KEY_WRONG, f"{what.get(slot.kind, 'The passphrase')} {_OPENS_NOTHING}", put_back(path))


@contextmanager
def as_argument() -> Iterator[None]:
    """Report an error about a new key file as INVALID_ARGUMENTS, because the person chose its path."""
    try:
        yield
    except CustodyError as error:
        if error.code is not Code.KEY_MISSING:
            raise
        raise CallerError(Code.INVALID_ARGUMENTS, error.message, error.hint) from None


@contextmanager
def not_yet_made() -> Iterator[None]:
    """Report that a new key file must not be inside the project. The file that is refused does not exist yet."""
    try:
        yield
    except CustodyError as error:
        message = "The new key file would be inside the project, but a project must not contain a key file."
        hint = "Choose a path outside the project and its git work tree."
        raise CustodyError(error.code, message, hint) from None


@contextmanager
def with_another_place(other: str = "") -> Iterator[None]:
    """Add `other` to the hint of each keyring error. It says how to keep the key in a file instead."""
    try:
        yield
    except CustodyError as error:
        other = other or f"Or keep the key in a file of your own: `{command()} init --key-file PATH`."
        raise error.with_hint(f"{error.hint} {other}") from None


def no_code(probes: Sequence[CustodyError | None], slots: Sequence[Slot], *, for_person: bool) -> CustodyError:
    """Return the error for a recovery code that is typed for a store without a recovery code.

    `probes` has a result for each keyring slot and key file slot in `slots`: an error, or None if the slot opens.
    """
    failures = [probe for probe in probes if probe is not None]
    with_passphrase = any(slot.kind == PASSPHRASE for slot in slots)
    if len(failures) < len(probes) or with_passphrase:
        key = "passphrase" if len(failures) == len(probes) else "key"
        hint = f"Its {key} opens the store. To make a recovery code: {command()} recover create"
    else:
        hint = error_of(failures, slots, for_person=for_person).hint or ""
    return CustodyError(Code.KEY_MISSING, "This store has no recovery code.", hint)


def wrong_secret(*, recovery: bool) -> CustodyError:
    """Return the error for a passphrase that opens no slot; if `recovery` is true, for a recovery code."""
    if not recovery:
        return CustodyError(Code.KEY_WRONG, "The passphrase is wrong.", "Try again.")
    message = "This recovery code does not open this store. It may have been replaced, or belong to another store."
    return CustodyError(Code.KEY_WRONG, message, "Type the newest recovery code of this store.")


def _ask_doctor() -> str:
    return f"The person can see which file this is, and what to do: `{command()} doctor`."


def _rank(failure: CustodyError) -> int:
    return _SOONEST_FIXED.index(failure.code) if failure.code in _SOONEST_FIXED else -1


def _untried(slots: Sequence[Slot]) -> CustodyError:
    if any(slot.kind == PASSPHRASE and not slot.is_recovery for slot in slots):
        hint = (
            f"Add a key file that opens the store: `{command()} key add-file PATH`. "
            "Or start with --passphrase-fd N (not on Windows)."
        )
        return CustodyError(
            Code.KEY_MISSING, "The store needs its passphrase, but there is no way to ask for it here.", hint
        )
    if slots:
        hint = f"Open the store with its recovery code: `{command()} recover use{new_place(slots)}`."
        return CustodyError(Code.KEY_MISSING, "Only the recovery code opens the store.", hint)
    return CustodyError(Code.KEY_MISSING, "The store has no key slot, so nothing can open it.", PUT_BACK)
