"""Makes the vectors of later additions to format 1: `python -m tests.vectors.later` from the top of the source tree.

Writes `later/*.db` and `later/vectors.json`. Refuses to run if there are any, because they never change. Each entry has
the fields that `generate.py` describes. If a passphrase or a recovery code opens the store, its entry also has
`passphrase` and `code`.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from claude_secrets.keys import recovery_code
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.slot import State
from claude_secrets.model import SHARED, EnteredBy
from claude_secrets.store import key_slots, records
from claude_secrets.store.versions import KEPT_SECONDS
from tests.vectors.draft import API, Draft, Entry
from tests.vectors.generate import shrink
from tests.vectors.held import DIRECTORY

LATER = DIRECTORY / "later"
WORDS = "Ünïcode words that nobody puts together"


def _add_slot(draft: Draft, text: str, *, recovery: bool) -> None:
    data_key = draft.store.fetch_key()
    with draft.store.write() as tx:
        new = Custody(environment={}).new_passphrase_slot(tx.cipher.store_id, data_key, text, recovery=recovery)
        key_slots.add(tx, new.slot)


def with_passphrase(draft: Draft) -> Entry:
    """A store that a key file, a passphrase (given composed and stored composed) and a recovery code open."""
    draft.put("API_TOKEN", "v")
    code = recovery_code.new_code()
    _add_slot(draft, WORDS, recovery=False)
    _add_slot(draft, code, recovery=True)
    return {"passphrase": WORDS, "code": code}


def on_the_way(draft: Draft) -> Entry:
    """A store whose keys were being replaced when the process was killed: slots that are coming and leaving."""
    draft.put("API_TOKEN", "v")
    for state in (State.COMING, State.LEAVING):
        draft.new_slot()
        with draft.store.write() as tx:
            slot = key_slots.list_all(tx)[-1]
            key_slots.change(tx, slot, slot.moved(state))
    return {}


def with_gaps(draft: Draft) -> Entry:
    """Versions that were let go, one that was brought back, one that expires."""
    for number in range(14):
        draft.put("API_TOKEN", f"value {number}", origin=API)
    with draft.store.write() as tx:
        tx.now += KEPT_SECONDS
        put = {"scope": SHARED, "name": "API_TOKEN", "value": "expiring", "origin": API}
        records.put(tx, **put, entered_by=EnteredBy.PERSON, expires=2_000_000_000)  # type: ignore[arg-type]  # all text
        record = records.find(tx, SHARED, "API_TOKEN")
        assert record is not None
        records.restore(tx, record, 10)
    return {}


MAKERS: list[Callable[[Draft], Entry]] = [with_passphrase, on_the_way, with_gaps]


def main(directory: Path = LATER) -> None:
    """Make the vectors. If there are vectors already, exit with an error."""
    if directory.exists() and list(directory.iterdir()):
        sys.exit(f"There are vectors in {directory} already; they never change.")
    directory.mkdir(exist_ok=True)
    entries = []
    with tempfile.TemporaryDirectory() as scratch:
        for make in MAKERS:
            draft = Draft(Path(scratch) / make.__name__ / "secrets.db")
            more = make(draft)
            expected = draft.contents()
            draft.store.close()
            file = f"good-{make.__name__.replace('_', '-')}.db"
            shrink(Path(shutil.copyfile(draft.path, directory / file)))
            about = {"name": file.removesuffix(".db"), "about": make.__doc__, "file": file}
            entries.append({**about, "master_key": draft.master_key, **expected, **more})
    (directory / "vectors.json").write_text(json.dumps(entries, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
