"""Makes the vectors: `python -m tests.vectors.generate` from the top of the source tree.

Writes `*.db` and `vectors.json` next to this file. The program itself writes each store (with a small page size, and
with the log folded in). A faulty store is a copy in which SQLite then makes one change. The command refuses to run if
there are vectors already, because the vectors of a released format never change. While a format is not released, run
`rm tests/vectors/*.db tests/vectors/vectors.json; python -m tests.vectors.generate`.

Each entry of `vectors.json` has `name`, `about`, `file` and `master_key`. The entry of a good store also has `secrets`,
`deleted`, `grants` and `events`: the store contains exactly these. The entry of a faulty store has `code`: a reader
that verifies the whole store must refuse it with this code.
"""

import json
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

from claude_secrets.errors import Code
from claude_secrets.keys.cipher import new_master_key
from claude_secrets.model import PERSON, SHARED, Access
from claude_secrets.store import audit
from claude_secrets.store.store import Store
from tests.support import sqlite_attacker as attacker
from tests.vectors.draft import API, Draft, Entry
from tests.vectors.held import DIRECTORY, KEY_FILE, TIME, HeldKey

ACME = "/work/acme"
CHARACTERS = "".join(map(chr, range(32))) + "\x7f line one\nline two\r\n e\u0301 🔑 \u2028 \U0010ffff \ufeff"


# Good stores


def empty(_: Draft) -> None:
    """A new store."""


def versions(draft: Draft) -> None:
    """Several versions of one secret, stored by agents and by the person."""
    for value, origin in (("first", API), ("second", API), ("third", PERSON), ("first", API)):
        draft.put("API_TOKEN", value, origin=origin)


def use_only(draft: Draft) -> None:
    """Access that was narrowed after the value was stored, and access that was widened again."""
    draft.put("NARROWED", "v", access=Access.READABLE)
    draft.put("NARROWED", "v", access=Access.USE_ONLY)
    draft.put("WIDENED", "w", access=Access.USE_ONLY)
    draft.put("WIDENED", "w", access=Access.READABLE)


def deleted(draft: Draft) -> None:
    """A deleted secret, and one that was stored again after it was deleted."""
    for name in ("GONE", "BACK"):
        draft.put(name, "v")
        draft.delete(name)
    draft.put("BACK", "v")


def scopes(draft: Draft) -> None:
    """The same name in two scopes."""
    draft.put("API_TOKEN", "of the shared scope")
    draft.put("API_TOKEN", "of acme-dev", scope="acme-dev", origin=ACME)


def granted(draft: Draft) -> None:
    """A grant on a secret, the claim of a scope, and a grant that was taken back."""
    draft.put("API_TOKEN", "v", origin=API)
    draft.grant(ACME, SHARED, "API_TOKEN")
    draft.grant(ACME, "acme-dev")
    draft.grant("/work/clone", SHARED, "API_TOKEN")
    draft.revoke("/work/clone", SHARED, "API_TOKEN")


def characters(draft: Draft) -> None:
    """All control characters, newlines, emoji, combining and highest characters; a name and a scope of full length."""
    draft.put("CHARACTERS", CHARACTERS)
    draft.put("N" * 128, "of the longest name", scope="s" * 64)
    draft.put("0", "of the shortest name")


def renamed(draft: Draft) -> None:
    """A secret with two versions that was given another name."""
    for value in ("first", "second"):
        draft.put("OLD_NAME", value)
    draft.rename("OLD_NAME", "NEW_NAME")


def two_slots(draft: Draft) -> None:
    """Two key slots, either of which opens the store."""
    draft.put("API_TOKEN", "v")
    draft.new_slot()


def logged(draft: Draft) -> None:
    """A log whose old events were cut, with an event that stands for two refusals."""
    draft.log("done")
    draft.log("refused")
    draft.cut(seconds=audit.KEPT_SECONDS + 1)
    draft.log("refused", seconds=audit.KEPT_SECONDS + 2)
    draft.log("refused", seconds=audit.KEPT_SECONDS + 3)
    draft.log("done", seconds=audit.KEPT_SECONDS + 4)


GOOD = [empty, versions, use_only, deleted, scopes, granted, characters, renamed, two_slots, logged]


# Stores with one fault each


def everything(draft: Draft) -> Path:
    """Fill a store with at least two rows in each table that can have them. Return a copy of an earlier state."""
    draft.put("API_TOKEN", "first", origin=API)
    draft.put("DEPLOY_KEY", "v", access=Access.READABLE)
    draft.put("GONE", "v")
    draft.delete("GONE")
    for project, name in ((ACME, "API_TOKEN"), (ACME, "DEPLOY_KEY"), (API, "DEPLOY_KEY")):
        draft.grant(project, SHARED, name)
    draft.new_slot()
    draft.count()
    draft.log("done")
    draft.log("refused")
    older = draft.snapshot()
    draft.put("API_TOKEN", "second", origin=API)
    draft.put("DEPLOY_KEY", "v", access=Access.USE_ONLY)
    draft.revoke(ACME, SHARED, "DEPLOY_KEY")
    draft.new_slot(replacing=True)
    draft.log("refused")
    return older


def fault(path: Path, older: Path, table: str, kind: str) -> None:
    """Put one fault into the table of the store at `path`."""
    with attacker.attacker(path) as connection:
        keys = attacker.keys(connection, table)
        key, last = keys[0], attacker.other_columns(connection, table)[-1]
        if kind == "deleted":
            attacker.delete(connection, table, key)
        elif kind == "truncated":
            cell = attacker.row(connection, table, key)[last]
            attacker.change(connection, table, key, last, attacker.truncated(cell, 100))
        elif kind == "reverted":
            attacker.revert(connection, table, older)
        elif table == "store":  # it has one row, whose head a record's head replaces
            head = attacker.row(connection, "records", attacker.keys(connection, "records")[0])["head"]
            own = attacker.row(connection, table, key)["head"]
            attacker.change(connection, table, key, "head", head)
            if kind == "swapped":
                attacker.change(connection, "records", attacker.keys(connection, "records")[0], "head", own)
        elif kind == "swapped":
            attacker.swap(connection, table, key, keys[1])
        else:
            attacker.copy(connection, table, key, list(attacker.unused_keys(connection, table, key))[-1])


FAULTS = ["swapped", "copied", "deleted", "reverted", "truncated"]

# If no slot opens, the error is a wrong key.
FAULT_CODES = {("swapped", "key_slots"): Code.KEY_WRONG}

STATEMENTS: dict[str, tuple[str, Code]] = {
    "another-generation": ("UPDATE store SET generation = 2", Code.KEY_WRONG),
    "another-store-id": ("UPDATE store SET store_id = '00112233445566778899aabbccddeeff'", Code.KEY_WRONG),
    "unknown-slot-kind": ("UPDATE key_slots SET kind = 'passphrase'", Code.KEY_MISSING),
    "no-slot": ("DELETE FROM key_slots", Code.KEY_MISSING),
    "added-table": ("CREATE TABLE notes (note TEXT)", Code.STORE_TAMPERED),
    "added-view": ("CREATE VIEW notes AS SELECT * FROM grants", Code.STORE_TAMPERED),
    "added-index": ("CREATE INDEX notes ON versions (version)", Code.STORE_TAMPERED),
    "added-trigger": (
        "CREATE TRIGGER notes AFTER INSERT ON versions BEGIN DELETE FROM grants; END",
        Code.STORE_TAMPERED,
    ),
    "removed-table": ("DROP TABLE counters", Code.STORE_TAMPERED),
    "future-format": ("PRAGMA user_version = 2", Code.STORE_FORMAT),
    "another-application": ("PRAGMA application_id = 1", Code.STORE_FORMAT),
}


def shrink(path: Path) -> None:
    """Make the file small, and leave it in the journal mode that the format requires."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in ("journal_mode = DELETE", "page_size = 1024"):
        connection.execute(f"PRAGMA {statement}")
    connection.execute("VACUUM")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


def generate(directory: Path) -> list[Entry]:
    """Make all vectors in `directory`, and return their entries for `vectors.json`."""
    entries: list[Entry] = []

    def new(name: str, about: str, draft: Draft, expected: Entry, **more: object) -> Path:
        path = directory / f"{name}.db"
        draft.store.close()
        shutil.copyfile(draft.path, path)
        entries.append(
            {"name": name, "about": about, "file": path.name, "master_key": draft.master_key} | expected | more
        )
        return path

    with tempfile.TemporaryDirectory() as scratch:
        for make in GOOD:
            draft = Draft(Path(scratch) / make.__name__ / "secrets.db")
            make(draft)
            shrink(new(f"good-{make.__name__.replace('_', '-')}", str(make.__doc__), draft, draft.contents()))
        whole = Draft(Path(scratch) / "whole" / "secrets.db")
        older = everything(whole)
        shrink(new("good-everything", "All of it together.", whole, whole.contents()))
        for table in attacker.all_rows(whole.path):
            for kind in FAULTS:
                code = FAULT_CODES.get((kind, table), Code.STORE_TAMPERED)
                path = new(f"{kind}-{table}", f"A {kind} row in '{table}'.", whole, {"code": code})
                fault(path, older, table, kind)
                shrink(path)
        for name, (statement, code) in STATEMENTS.items():
            path = new(name, statement, whole, {"code": code})
            with attacker.attacker(path) as connection:
                connection.execute(statement)
            shrink(path)
        key = new_master_key().decode("ascii")
        shrink(new("wrong-key", "The master key of no slot.", whole, {"code": Code.KEY_WRONG}, master_key=key))
        path = new("foreign-slots", "The key slots of another store.", whole, {"code": Code.KEY_WRONG})
        _give_slots(path, whole.master_key, Path(scratch))
        shrink(path)
        path = new("foreign-file", "An SQLite file of another program.", whole, {"code": Code.STORE_FORMAT})
        _another_program(path)
    return entries


def _give_slots(path: Path, master_key: str, scratch: Path) -> None:
    """Give the store the slots of another store that has the same master key."""
    other = scratch / "foreign" / "secrets.db"
    foreign = Store(other, HeldKey(master_key), lambda: TIME)
    foreign.create_with_key_file(KEY_FILE)
    foreign.close()
    with attacker.attacker(path) as connection:
        attacker.revert(connection, "key_slots", other)


def _another_program(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE store (id INTEGER PRIMARY KEY)")
    connection.commit()
    connection.close()


def main(directory: Path = DIRECTORY) -> None:
    """Make the vectors. If there are vectors already, exit with an error."""
    if (directory / "vectors.json").exists() or list(directory.glob("*.db")):
        sys.exit(f"There are vectors in {directory} already; those of a released format never change.")
    entries = generate(directory)
    (directory / "vectors.json").write_text(json.dumps(entries, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
