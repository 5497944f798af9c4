"""An open store: reading, transactions, and changes of the file while it is open. All files are real."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from claude_secrets.errors import Code, CustodyError, StoreError
from claude_secrets.keys.cipher import DataKey, StoreIdentity
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.slot import Slot
from claude_secrets.model import EnteredBy
from claude_secrets.store import records, schema
from tests.support import store_world
from tests.support.store_world import StoreOnDisk, contents, get, put

open_files_can_go = pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a file that a program has open")

# Reading


def test_reading_never_makes_anything(bare: StoreOnDisk, tmp_path: Path) -> None:
    store = bare.store()
    assert not store.exists()
    for attempt in (lambda: get(store, "TOKEN"), store.unlock, store.slots):
        with pytest.raises(StoreError) as caught:
            attempt()
        assert caught.value.code is Code.STORE_UNAVAILABLE
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "keys"]


def test_reading_does_not_change_the_file(on_disk: StoreOnDisk) -> None:
    put(on_disk.store(), "TOKEN", "v")
    before = on_disk.close().path.read_bytes()
    reader = on_disk.store()
    for _ in range(3):
        assert get(reader, "TOKEN") == "v"
    assert on_disk.path.read_bytes() == before


# Transactions


class Stop(BaseException):
    """An error that nobody expects inside a transaction."""


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Stop, SystemExit])
def test_a_write_is_rolled_back_whole_whatever_is_raised(on_disk: StoreOnDisk, error: type[BaseException]) -> None:
    store = on_disk.store()
    put(store, "TOKEN", "before")
    with pytest.raises(error), store.write() as tx:  # noqa: PT012  the whole block is rolled back
        for name in ("TOKEN", "OTHER"):
            records.put(tx, scope="shared", name=name, value="after", origin="person", entered_by=EnteredBy.PERSON)
        raise error
    assert contents(store) == contents(on_disk.store()) == {"TOKEN": "before"}
    put(store, "OTHER", "later")
    assert contents(on_disk.store()) == {"TOKEN": "before", "OTHER": "later"}


def test_a_transaction_that_changed_nothing_leaves_the_file_as_it_was(on_disk: StoreOnDisk) -> None:
    store = on_disk.store()
    put(store, "TOKEN", "v")
    before = on_disk.path.read_bytes(), on_disk.files()["secrets.db-wal"]
    assert put(store, "TOKEN", "v").changed is False
    with store.write():
        pass
    assert (on_disk.path.read_bytes(), on_disk.files()["secrets.db-wal"]) == before


def test_a_reader_sees_one_state_though_another_writes_meanwhile(on_disk: StoreOnDisk) -> None:
    reader, writer = on_disk.store(), on_disk.store()
    put(writer, "TOKEN", "before")
    with reader.read() as tx:
        assert records.value(tx, store_world.existing(tx, "TOKEN")) == "before"
        put(writer, "TOKEN", "after")
        assert records.value(tx, store_world.existing(tx, "TOKEN")) == "before"
    assert get(reader, "TOKEN") == "after"


def test_a_listing_that_was_left_half_way_does_not_hold_on_to_an_old_state(on_disk: StoreOnDisk) -> None:
    store, writer = on_disk.store(), on_disk.store()
    for name in ("ONE", "TWO", "THREE"):
        put(writer, name, "before")
    with store.read() as tx:
        listing = records.iterate_all(tx)
        next(listing)
    put(writer, "ONE", "after")
    assert get(store, "ONE") == "after"
    put(store, "TWO", "after")
    assert contents(writer) == {"ONE": "after", "TWO": "after", "THREE": "before"}
    del listing


def test_the_store_is_busy_while_another_holds_the_lock_and_works_again_after(
    on_disk: StoreOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.05)
    store, other = on_disk.store(), on_disk.store()
    put(store, "TOKEN", "before")
    with other.write():
        with pytest.raises(StoreError) as caught:
            put(store, "TOKEN", "after")
        assert caught.value.code is Code.STORE_BUSY
        assert get(store, "TOKEN") == "before"
    put(store, "TOKEN", "after")
    assert get(other, "TOKEN") == "after"


def test_the_key_is_asked_for_outside_any_transaction_and_once(
    on_disk: StoreOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    unlock = Custody.unlock

    def watched(self: Custody, identity: StoreIdentity, slots: list[Slot]) -> DataKey:
        asked.append(identity)
        put(on_disk.store(), f"DURING_{len(asked)}", "another process writes") if len(asked) == 1 else None
        return unlock(self, identity, slots)

    monkeypatch.setattr(Custody, "unlock", watched)
    store = on_disk.store()
    put(store, "TOKEN", "v")
    put(store, "TOKEN", "w")
    assert contents(store) == {"TOKEN": "w", "DURING_1": "another process writes"}
    assert len(asked) == 2  # once by this process, once by the other


# The file under a running store


def another(root: Path) -> StoreOnDisk:
    """Create a second store with its own key, and close it."""
    root.mkdir()
    on_disk = StoreOnDisk(root).create()
    put(on_disk.store(), "TOKEN", "of the other store")
    return on_disk.close()


@open_files_can_go
def test_a_file_that_was_replaced_under_a_running_store_is_noticed(on_disk: StoreOnDisk, tmp_path: Path) -> None:
    put(on_disk.store(), "TOKEN", "of the first store")
    on_disk.close()
    store = on_disk.store()
    assert get(store, "TOKEN") == "of the first store"
    another(tmp_path / "other").path.replace(on_disk.path)
    assert get(store, "TOKEN") == "of the other store"
    put(store, "TOKEN", "written")
    on_disk.close()
    assert contents(on_disk.store()) == {"TOKEN": "written"}


@open_files_can_go
def test_a_file_that_was_replaced_beside_a_log_with_changes_gives_out_nothing_false(
    on_disk: StoreOnDisk, tmp_path: Path
) -> None:
    # SQLite applies the log of the old file to the new one; the result must not be taken for a secret.
    store = on_disk.store()
    put(store, "TOKEN", "of the first store")
    another(tmp_path / "other").path.replace(on_disk.path)
    for running in (store, on_disk.store()):
        with pytest.raises((StoreError, CustodyError)) as caught:
            get(running, "TOKEN")
        assert caught.value.code in {Code.STORE_TAMPERED, Code.KEY_WRONG}


@open_files_can_go
def test_a_file_that_was_removed_under_a_running_store_is_unavailable_and_not_made_anew(on_disk: StoreOnDisk) -> None:
    store = on_disk.store()
    put(store, "TOKEN", "v")
    shutil.rmtree(on_disk.path.parent)
    with pytest.raises(StoreError) as caught:
        get(store, "TOKEN")
    assert caught.value.code is Code.STORE_UNAVAILABLE
    with pytest.raises(StoreError, match="STORE_UNAVAILABLE"):
        put(store, "TOKEN", "w")
    assert not on_disk.path.exists()


def test_an_older_copy_put_back_whole_is_read_as_it_is(on_disk: StoreOnDisk) -> None:
    """A known limit of format 1. If this test fails, the format got better: change store-format.md, section 7."""
    put(on_disk.store(), "TOKEN", "old")
    copy = on_disk.close().path.read_bytes()
    put(on_disk.store(), "TOKEN", "new")
    on_disk.close().path.unlink()
    on_disk.path.write_bytes(copy)
    on_disk.path.chmod(0o600)
    assert get(on_disk.store(), "TOKEN") == "old"


def test_a_newer_format_is_noticed_by_a_store_that_is_open(on_disk: StoreOnDisk) -> None:
    store = on_disk.store()
    put(store, "TOKEN", "v")
    with sqlite3.connect(on_disk.path) as newer:
        newer.execute("PRAGMA user_version = 2")
    newer.close()
    for attempt in (lambda: get(store, "TOKEN"), lambda: put(store, "TOKEN", "w")):
        with pytest.raises(StoreError) as caught:
            attempt()
        assert caught.value.code is Code.STORE_FORMAT
        assert "Upgrade" in (caught.value.hint or "")


def test_a_store_in_another_process_is_the_same_store(on_disk: StoreOnDisk) -> None:
    put(on_disk.store(), "TOKEN", "from here")
    done = subprocess.run(
        store_world.command(on_disk.path, "get", "TOKEN"), capture_output=True, check=True, timeout=60
    )
    assert done.stdout == b"from here"
