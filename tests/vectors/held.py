"""Opening a vector with the master key that `vectors.json` gives for it.

A slot names its key file by an absolute path, but a vector must open on any machine. So the slots name `KEY_FILE`,
which does not exist on any machine, and `HeldKey` gives the master key instead.
"""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from claude_secrets.errors import Code, CustodyError
from claude_secrets.keys.cipher import DataKey, EnvelopeMismatch, StoreIdentity, TokenInvalid, unwrap, wrap
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.slot import NewSlot, Slot

DIRECTORY = Path(__file__).parent
KEY_FILE = Path("/nonexistent/claude-secrets/master.key")
TIME = 1_800_000_000.0
"""The time at which everything in the vectors was stored."""


class HeldKey(Custody):
    """Custody that uses `master_key` for every slot with a key file, and leaves other slots to `Custody`."""

    def __init__(self, master_key: str) -> None:
        super().__init__(environment={"XDG_RUNTIME_DIR": "/nonexistent"})
        self._held = master_key.encode("ascii")

    def unlock(self, identity: StoreIdentity, slots: Sequence[Slot]) -> DataKey:
        files = [slot for slot in slots if slot.kind == "file"]
        for slot in files:
            with suppress(TokenInvalid, EnvelopeMismatch):
                bound = {"store_id": identity.store_id, "slot_id": slot.slot_id, "slot_kind": slot.kind}
                data_key = unwrap(self._held, slot.wrapped, **bound)
                if data_key.generation == identity.generation:
                    return data_key
        if not files:
            return super().unlock(identity, slots)
        raise CustodyError(Code.KEY_WRONG, "No slot opens with this key.")

    def new_file_slot(self, store_id: str, data_key: DataKey, path: Path, *, store: Path) -> NewSlot:
        del store
        return NewSlot(self.wrapped(store_id, data_key, path, secrets.token_hex(8)))

    def wrapped(self, store_id: str, data_key: DataKey, path: Path, slot_id: str) -> Slot:
        """Return a key file's slot with the given id."""
        token = wrap(self._held, data_key, store_id=store_id, slot_id=slot_id, slot_kind="file", now=TIME)
        return Slot(slot_id, "file", f'{{"path":"{path}"}}', token)
