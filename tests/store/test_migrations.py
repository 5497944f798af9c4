"""Migrating a store to a later format.

No later format exists yet, so the tests use a made-up format 2 with one more table and one more field.
"""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from claude_secrets.errors import Code, StoreError
from claude_secrets.store import migrations, schema
from claude_secrets.store.store import Store
from claude_secrets.store.transaction import Transaction
from tests.store.test_vectors import GOOD, named
from tests.support.store_world import StoreOnDisk, contents, custody, get, put
from tests.vectors.draft import stated
from tests.vectors.held import DIRECTORY, TIME, HeldKey

LABELS = "CREATE TABLE labels (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID"


def add_labels(tx: Transaction) -> None:
    tx.connection.execute(LABELS)
    tx.connection.execute("INSERT INTO labels VALUES ('made by the migration')")


@pytest.fixture(name="on_disk")
def keep_with_token(on_disk: StoreOnDisk) -> StoreOnDisk:
    put(on_disk.store(), "TOKEN", "value")
    return on_disk.close()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn the program into a later version whose format is 2."""
    wanted = sorted([*schema._SCHEMAS[1], ("table", "labels", "labels", LABELS)], key=lambda entry: str(entry[1]))
    monkeypatch.setitem(schema._SCHEMAS, 2, wanted)
    monkeypatch.setitem(migrations.STEPS, 1, add_labels)
    monkeypatch.setattr(schema, "FORMAT", 2)


def format_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return schema.format_of(connection)


def test_a_store_is_brought_up_to_date_by_the_first_who_opens_it(on_disk: StoreOnDisk, later: None) -> None:
    before = on_disk.path.read_bytes()
    assert get(on_disk.store(), "TOKEN") == "value"
    assert format_of(on_disk.path) == 2
    put(on_disk.store(), "OTHER", "w")
    assert contents(on_disk.store()) == {"TOKEN": "value", "OTHER": "w"}
    on_disk.close()
    copy = migrations.copy_of(on_disk.path, 1)
    assert copy.name == "secrets.db.format-1"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert sorted(on_disk.files()) == ["secrets.db", "secrets.db.format-1"]
    assert len(copy.read_bytes()) == len(before)


def test_the_copy_is_the_store_as_it_was(on_disk: StoreOnDisk, later: None, monkeypatch: pytest.MonkeyPatch) -> None:
    put(on_disk.store(), "TOKEN", "newer")
    get(on_disk.store(), "TOKEN")
    monkeypatch.undo()  # back to the earlier version
    on_disk.close()
    with pytest.raises(StoreError) as caught:
        get(on_disk.store(), "TOKEN")
    assert (caught.value.code, "Upgrade" in str(caught.value.hint)) == (Code.STORE_FORMAT, True)
    on_disk.close()
    with closing(Store(migrations.copy_of(on_disk.path, 1), custody(), lambda: on_disk.time)) as store:
        assert contents(store) == {"TOKEN": "value"}


def test_a_server_that_runs_on_sees_the_new_format(
    on_disk: StoreOnDisk, later: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "FORMAT", 1)
        running, never_restarted = on_disk.store(), on_disk.store()
        assert get(running, "TOKEN") == get(never_restarted, "TOKEN") == "value"
    get(on_disk.store(), "TOKEN")
    assert get(running, "TOKEN") == "value"
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "FORMAT", 1)
        earlier.delitem(schema._SCHEMAS, 2)
        for store in (on_disk.store(), never_restarted):
            with pytest.raises(StoreError) as caught:
                put(store, "X", "y")
            assert caught.value.code is Code.STORE_FORMAT
    assert format_of(on_disk.path) == 2


def test_one_that_fails_changes_nothing(on_disk: StoreOnDisk, later: None, monkeypatch: pytest.MonkeyPatch) -> None:
    before = on_disk.path.read_bytes()

    def fail(tx: Transaction) -> None:
        add_labels(tx)
        raise StoreError(Code.STORE_FULL, "full")

    monkeypatch.setitem(migrations.STEPS, 1, fail)
    with pytest.raises(StoreError):
        get(on_disk.store(), "TOKEN")
    on_disk.close()
    assert (format_of(on_disk.path), on_disk.path.read_bytes() == before) == (1, True)
    monkeypatch.setitem(migrations.STEPS, 1, add_labels)
    assert get(on_disk.store(), "TOKEN") == "value"


def test_a_step_that_leaves_other_tables_is_undone(
    on_disk: StoreOnDisk, later: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(migrations.STEPS, 1, lambda tx: tx.connection.execute("CREATE TABLE other (x)"))
    with pytest.raises(StoreError) as caught:
        get(on_disk.store(), "TOKEN")
    assert caught.value.code is Code.STORE_TAMPERED
    assert format_of(on_disk.path) == 1


def test_a_store_that_was_tampered_with_is_not_brought_up_to_date(on_disk: StoreOnDisk, later: None) -> None:
    with closing(sqlite3.connect(on_disk.path)) as connection:
        connection.execute("DELETE FROM records")
        connection.commit()
    with pytest.raises(StoreError) as caught:
        get(on_disk.store(), "TOKEN")
    assert caught.value.code is Code.STORE_TAMPERED
    assert format_of(on_disk.path) == 1
    assert not migrations.copy_of(on_disk.path, 1).exists()


def test_without_a_way_nothing_is_changed(on_disk: StoreOnDisk, later: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(migrations.STEPS, 1)
    with pytest.raises(StoreError) as caught:
        get(on_disk.store(), "TOKEN")
    assert caught.value.code is Code.STORE_FORMAT
    assert format_of(on_disk.path) == 1


def test_the_copy_goes_when_it_is_old(on_disk: StoreOnDisk, later: None) -> None:
    get(on_disk.store(), "TOKEN")
    copy = migrations.copy_of(on_disk.path, 1)
    for age, stays in ((29, True), (31, False)):
        then = time.time() - age * 86_400
        os.utime(copy, (then, then))
        get(on_disk.store(), "TOKEN")
        assert copy.exists() is stays


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("vector", named(GOOD))
def test_every_good_store_of_format_1_can_be_brought_up_to_date(vector: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "secrets.db"
    path.write_bytes((DIRECTORY / str(vector["file"])).read_bytes())
    with closing(Store(path, HeldKey(str(vector["master_key"])), lambda: TIME)) as store, store.read() as tx:
        found = stated(tx)
    assert found == {key: vector[key] for key in found}
    assert format_of(path) == 2
