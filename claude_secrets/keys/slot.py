"""A key slot as the store keeps it: one wrapped copy of the data key, and where to find the key that unwraps it.

Always: pure; no key in a `repr`.
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
    """Whether the master key of a slot is certainly in its place, or is being put there or removed."""

    THERE = ""
    COMING = "coming"
    LEAVING = "leaving"


class Slot(NamedTuple):
    """One wrapped copy of the data key, as the store keeps it.

    `kind` says where the master key is. `params` (JSON) holds the rest: the `path` of a key file; how a passphrase is
    stretched and whether it is a `recovery` code; and the `state` while the key is being put in place or removed.
    """

    slot_id: str
    kind: str
    params: str
    wrapped: bytes

    def __repr__(self) -> str:
        return f"Slot({self.slot_id!r}, {self.kind!r})"

    @property
    def state(self) -> State:
        """The state of the slot. An invalid state counts as leaving."""
        state = self._params().get("state", "")
        return State(state) if isinstance(state, str) and state in set(State) else State.LEAVING

    def moved(self, state: State) -> "Slot":
        """Return the slot in another state."""
        params = {key: value for key, value in self._params().items() if key != "state"}
        return self._replace(params=as_params(params if state is State.THERE else {**params, "state": state.value}))

    @property
    def is_recovery(self) -> bool:
        """Whether a recovery code opens the slot."""
        return self.kind == PASSPHRASE and self._params().get("recovery") is True

    @property
    def stretching(self) -> Stretching:
        """How the slot's passphrase is stretched. Raises `CustodyError` KEY_WRONG."""
        return Stretching.from_params(self._params())

    @property
    def key_file(self) -> Path | None:
        """The absolute path of the slot's key file; None for another kind of slot.

        Raises:
            CustodyError: KEY_WRONG if `params` do not hold such a path.
        """
        if self.kind != FILE:
            return None
        path = self._params().get("path")
        with suppress(ValueError):  # a path that no file system can have
            if isinstance(path, str) and b"\0" not in os.fsencode(path) and Path(path).is_absolute():
                return Path(path)
        raise CustodyError(Code.KEY_WRONG, "A key slot of the store does not say where its key file is.", PUT_BACK)

    def _params(self) -> dict[str, object]:
        try:
            params = json.loads(self.params)
        except (ValueError, TypeError, RecursionError):
            return {"state": State.LEAVING.value}
        return params if isinstance(params, dict) else {"state": State.LEAVING.value}


class NewSlot:
    """A `slot` whose master key is not in its place yet.

    Record the slot first and call `place_key` then: if the process is killed in between, the key can be found again.
    `place` and `remove` put the key in its place and remove it; by default they do nothing.
    """

    def __init__(
        self, slot: Slot, place: Callable[[], None] = lambda: None, remove: Callable[[], None] = lambda: None
    ) -> None:
        self.slot = slot
        self._place = place
        self._remove = remove

    def place_key(self) -> Slot:
        """Put the master key in its place and return the slot. Raises `CustodyError`."""
        self._place()
        return self.slot

    def remove_key(self) -> None:
        """Remove the master key again if that is possible. A key that stays behind opens nothing."""
        with suppress(CustodyError, OSError):
            self._remove()


def as_params(params: dict[str, object]) -> str:
    """Return `params` as a slot keeps them."""
    return json.dumps(params, separators=(",", ":"))
