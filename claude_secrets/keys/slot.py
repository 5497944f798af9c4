"""A key slot: one wrapped copy of the data key, and where to find the master key that unwraps it.

Always: this module reads and writes nothing itself. No `repr` contains a key.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.errors import Code, CustodyError
from claude_secrets.keys.key_file import PUT_BACK
from claude_secrets.keys.passphrase import Stretching

KEYRING: Final = "keyring"
FILE: Final = "file"
PASSPHRASE: Final = "passphrase"


class State(StrEnum):
    """Whether a slot's master key is certainly stored, is being stored or is being removed."""

    THERE = ""
    COMING = "coming"
    LEAVING = "leaving"


class Slot(NamedTuple):
    """One row of the store's key slots: a wrapped copy of the data key.

    `kind` says whether the master key comes from the keyring, a key file or a passphrase. `params` is JSON. For a key
    file it contains the `path`; for a passphrase, the stretching parameters and whether the passphrase is a `recovery`
    code. It also contains a `state` while the master key is being stored or removed.
    """

    slot_id: str
    kind: str
    params: str
    wrapped: bytes

    def __repr__(self) -> str:
        return f"Slot({self.slot_id!r}, {self.kind!r})"

    @property
    def state(self) -> State:
        """The slot's state. An invalid state is read as `LEAVING`."""
        state = self._params().get("state", "")
        return State(state) if isinstance(state, str) and state in set(State) else State.LEAVING

    def moved(self, state: State) -> "Slot":
        """Return a copy of the slot with another `state`."""
        params = {key: value for key, value in self._params().items() if key != "state"}
        return self._replace(params=as_params(params if state is State.THERE else {**params, "state": state.value}))

    @property
    def readiness(self) -> tuple[bool, int]:
        """The slot's place in the order in which slots are tried."""
        kinds = (KEYRING, FILE, PASSPHRASE)
        return self.state is not State.THERE, kinds.index(self.kind) if self.kind in kinds else len(kinds)

    @property
    def is_recovery(self) -> bool:
        """Whether a recovery code opens the slot."""
        return self.kind == PASSPHRASE and self._params().get("recovery") is True

    @property
    def stretching(self) -> Stretching:
        """The stretching parameters of the slot's passphrase. Raises `CustodyError` KEY_WRONG if they are invalid."""
        return Stretching.from_params(self._params())

    @property
    def key_file(self) -> Path | None:
        """The absolute path of the slot's key file, or None if the slot has no key file.

        Raises:
            CustodyError: KEY_WRONG if a key file slot has no valid absolute path.
        """
        if self.kind != FILE:
            return None
        path = self._params().get("path")
        with suppress(ValueError):  # a path that no file system can have
            if isinstance(path, str) and b"\0" not in os.fsencode(path) and Path(path).is_absolute():
                return Path(path)
        raise CustodyError(Code.KEY_WRONG, "One of this store's key slots has no valid path to its key file.", PUT_BACK)

    def _params(self) -> dict[str, object]:
        try:
            params = json.loads(self.params)
        except (ValueError, TypeError, RecursionError):
            return {"state": State.LEAVING.value}
        return params if isinstance(params, dict) else {"state": State.LEAVING.value}


class NewSlot:
    """A new slot whose master key is not stored yet.

    First record the slot in the store, then call `place_key`. If the process is killed in between, the recorded slot
    shows where to look for the key. `place` stores the master key and `remove` deletes it; by default both do nothing.
    """

    def __init__(
        self, slot: Slot, place: Callable[[], None] = lambda: None, remove: Callable[[], None] = lambda: None
    ) -> None:
        self.slot = slot
        self._place = place
        self._remove = remove

    def place_key(self) -> Slot:
        """Store the master key and return the slot. Raises `CustodyError` if storing fails."""
        self._place()
        return self.slot

    def remove_key(self) -> None:
        """Try to delete the stored master key. If deleting fails, the remaining key opens nothing."""
        with suppress(CustodyError, OSError):
            self._remove()


def as_params(params: dict[str, object]) -> str:
    """Return `params` as the JSON text of a slot's field."""
    return json.dumps(params, separators=(",", ":"))
