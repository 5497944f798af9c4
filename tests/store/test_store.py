"""An open store: reading, transactions, and what happens to the file meanwhile. Real files throughout."""

import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from claude_secrets.errors import Code, CustodyError, StoreError
from claude_secrets.keys.cipher import DataKey, StoreIdentity
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.slot import Slot
from claude_secrets.model import EnteredBy
from claude_secrets.store import records, schema
from tests.support import store_world
from tests.support.store_world import Keep, contents, get, put

# Reading


def test_reading_never_makes_anything(bare: Keep, tmp_path: Path) -> None:
    store = bare.store()
    assert not store.exists()
    for attempt in (lambda: get(store, "TOKEN"), store.unlock, store.slots):
        with pytest.raises(StoreError) as caught:
            attempt()
        assert caught.value.code is Code.STORE_UNAVAILABLE
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "keys"]


def test_reading_does_not_change_the_file(keep: Keep) -> None:
    put(keep.store(), "TOKEN", "v")
    before = keep.close().path.read_bytes()
    reader = keep.store()
    for _ in range(3):
        assert get(reader, "TOKEN") == "v"
    assert keep.path.read_bytes() == before


# Transactions


class Stop(BaseException):
    """Something nobody expects inside a transaction."""


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Stop, SystemExit])
def test_a_write_is_rolled_back_whole_whatever_is_raised(keep: Keep, error: type[BaseException]) -> None:
    store = keep.store()
    put(store, "TOKEN", "before")
    with pytest.raises(error), store.write() as tx:  # noqa: PT012  the block is what is rolled back
        for name in ("TOKEN", "OTHER"):
            records.put(tx, scope="shared", name=name, value="after", origin="person", entered_by=EnteredBy.PERSON)
        raise error
    assert contents(store) == contents(keep.store()) == {"TOKEN": "before"}
    put(store, "OTHER", "later")
    assert contents(keep.store()) == {"TOKEN": "before", "OTHER": "later"}


def test_a_transaction_that_changed_nothing_leaves_the_file_as_it_was(keep: Keep) -> None:
    store = keep.store()
    put(store, "TOKEN", "v")
    before = keep.path.read_bytes(), keep.files()["secrets.db-wal"]
    assert put(store, "TOKEN", "v").changed is False
    with store.write():
        pass
    assert (keep.path.read_bytes(), keep.files()["secrets.db-wal"]) == before


def test_a_reader_sees_one_state_though_another_writes_meanwhile(keep: Keep) -> None:
    reader, writer = keep.store(), keep.store()
    put(writer, "TOKEN", "before")
    with reader.read() as tx:
        assert records.value(tx, store_world.existing(tx, "TOKEN")) == "before"
        put(writer, "TOKEN", "after")
        assert records.value(tx, store_world.existing(tx, "TOKEN")) == "before"
    assert get(reader, "TOKEN") == "after"


def test_a_listing_that_was_left_half_way_does_not_hold_on_to_an_old_state(keep: Keep) -> None:
    store, writer = keep.store(), keep.store()
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
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.05)
    store, other = keep.store(), keep.store()
    put(store, "TOKEN", "before")
    with other.write():
        with pytest.raises(StoreError) as caught:
            put(store, "TOKEN", "after")
        assert caught.value.code is Code.STORE_BUSY
        assert get(store, "TOKEN") == "before"
    put(store, "TOKEN", "after")
    assert get(other, "TOKEN") == "after"


def test_the_key_is_asked_for_outside_any_transaction_and_once(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    unlock = Custody.unlock

    def watched(self: Custody, identity: StoreIdentity, slots: list[Slot]) -> DataKey:
        asked.append(identity)
        put(keep.store(), f"DURING_{len(asked)}", "another process writes") if len(asked) == 1 else None
        return unlock(self, identity, slots)

    monkeypatch.setattr(Custody, "unlock", watched)
    store = keep.store()
    put(store, "TOKEN", "v")
    put(store, "TOKEN", "w")
    assert contents(store) == {"TOKEN": "w", "DURING_1": "another process writes"}
    assert len(asked) == 2  # once here, once by the other process


# The file under a running store


def another(root: Path) -> Keep:
    """A second store with its own key, closed."""
    root.mkdir()
    keep = Keep(root).create()
    put(keep.store(), "TOKEN", "of the other store")
    return keep.close()


def test_a_file_that_was_replaced_under_a_running_store_is_noticed(keep: Keep, tmp_path: Path) -> None:
    put(keep.store(), "TOKEN", "of the first store")
    keep.close()
    store = keep.store()
    assert get(store, "TOKEN") == "of the first store"
    another(tmp_path / "other").path.replace(keep.path)
    assert get(store, "TOKEN") == "of the other store"
    put(store, "TOKEN", "written")
    keep.close()
    assert contents(keep.store()) == {"TOKEN": "written"}


def test_a_file_that_was_replaced_beside_a_log_with_changes_gives_out_nothing_false(keep: Keep, tmp_path: Path) -> None:
    # SQLite lays the log of the old file over the new one; what comes of it must not pass for a secret.
    store = keep.store()
    put(store, "TOKEN", "of the first store")
    another(tmp_path / "other").path.replace(keep.path)
    for running in (store, keep.store()):
        with pytest.raises((StoreError, CustodyError)) as caught:
            get(running, "TOKEN")
        assert caught.value.code in {Code.STORE_TAMPERED, Code.KEY_WRONG}


def test_a_file_that_was_removed_under_a_running_store_is_unavailable_and_not_made_anew(keep: Keep) -> None:
    store = keep.store()
    put(store, "TOKEN", "v")
    shutil.rmtree(keep.path.parent)
    with pytest.raises(StoreError) as caught:
        get(store, "TOKEN")
    assert caught.value.code is Code.STORE_UNAVAILABLE
    with pytest.raises(CustodyError):
        put(store, "TOKEN", "w")  # a first write, which here finds no keyring
    assert not keep.path.exists()


def test_an_older_copy_put_back_whole_is_read_as_it_is(keep: Keep) -> None:
    """store-format.md, section 7: what format 1 cannot show. If this fails, the format got better: say so there."""
    put(keep.store(), "TOKEN", "old")
    copy = keep.close().path.read_bytes()
    put(keep.store(), "TOKEN", "new")
    keep.close().path.unlink()
    keep.path.write_bytes(copy)
    keep.path.chmod(0o600)
    assert get(keep.store(), "TOKEN") == "old"


def test_a_newer_format_is_noticed_by_a_store_that_is_open(keep: Keep) -> None:
    store = keep.store()
    put(store, "TOKEN", "v")
    with sqlite3.connect(keep.path) as newer:
        newer.execute("PRAGMA user_version = 2")
    newer.close()
    for attempt in (lambda: get(store, "TOKEN"), lambda: put(store, "TOKEN", "w")):
        with pytest.raises(StoreError) as caught:
            attempt()
        assert caught.value.code is Code.STORE_FORMAT
        assert "Upgrade" in (caught.value.hint or "")


def test_a_store_in_another_process_is_the_same_store(keep: Keep) -> None:
    put(keep.store(), "TOKEN", "from here")
    done = subprocess.run(store_world.command(keep.path, "get", "TOKEN"), capture_output=True, check=True, timeout=60)
    assert done.stdout == b"from here"
