"""The error for a store that none of its key slots opens.

Always: the error says what the person can do next, in the order in which it helps.
"""

from collections.abc import Sequence
from typing import Final

from claude_secrets.errors import Code, CustodyError
from claude_secrets.keys.key_file import PUT_BACK
from claude_secrets.keys.slot import KEYRING, PASSPHRASE, Slot
from claude_secrets.paths import command

_SOONEST_FIXED: Final = (Code.KEYRING_LOCKED, Code.KEYRING_UNAVAILABLE, Code.KEY_WRONG, Code.KEY_MISSING)


def error_of(failures: Sequence[CustodyError], slots: Sequence[Slot]) -> CustodyError:
    """Return the error to report for a store with these key slots.

    `failures` has one error for each slot that was tried. Of several, the one that the person can fix soonest is
    reported. If the store has a recovery code, the hint says how to use it.
    """
    if not failures:
        return _untried(slots)
    told = min(failures, key=_rank)
    if not any(slot.is_recovery for slot in slots):
        return told
    into = "" if any(slot.kind == KEYRING for slot in slots) else " --key-file PATH"
    other = f"Or open the store with its recovery code: `{command()} recover use{into}`."
    return CustodyError(told.code, told.message, f"{told.hint} {other}")


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
        hint = f"Run `{command()} recover use`."
        return CustodyError(Code.KEY_MISSING, "Only the recovery code opens the store.", hint)
    return CustodyError(Code.KEY_MISSING, "The store has no key slot, so nothing can open it.", PUT_BACK)
