"""Secrets as rows: storing, deleting, renaming and access, and that a damaged history is not copied."""

import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claude_secrets.errors import Code, StoreError
from claude_secrets.model import PERSON, SHARED, VALUE_LIMIT, Access, EnteredBy
from claude_secrets.store import grants, records
from claude_secrets.store.grants import Grant
from claude_secrets.store.transaction import _REMEMBERED
from tests.support.store_world import StoreOnDisk, contents, delete, existing, find, get, put


def rename(on_disk: StoreOnDisk, old: str, new: str) -> None:
    with on_disk.store().write() as tx:
        records.rename(tx, existing(tx, old), new)


def change(on_disk: StoreOnDisk, statement: str, *parameters: object) -> None:
    """Change the store as an attacker without the key would."""
    connection = sqlite3.connect(on_disk.path)
    with connection:
        assert connection.execute(statement, parameters).rowcount > 0
    connection.close()


def versions(on_disk: StoreOnDisk) -> int:
    connection = sqlite3.connect(on_disk.path)
    count = int(connection.execute("SELECT count(*) FROM versions").fetchone()[0])
    connection.close()
    return count


# Storing


def test_a_new_secret_is_version_1_and_readable(on_disk: StoreOnDisk) -> None:
    stored = put(on_disk.store(), "TOKEN", "v", origin="/srv/api", by=EnteredBy.AGENT)
    assert (stored.version, stored.changed, stored.access) == (1, True, Access.READABLE)
    record = find(on_disk.store(), "TOKEN")
    assert (record.name, record.scope, record.origin, record.version) == ("TOKEN", "shared", "/srv/api", 1)
    assert (record.deleted, record.entered_by, record.updated) == (False, EnteredBy.AGENT, int(on_disk.time))
    assert (record.expires, record.note) == (None, None)


def test_another_value_is_another_version_and_the_earlier_one_is_kept(on_disk: StoreOnDisk) -> None:
    store = on_disk.store()
    for number, value in enumerate(("a", "b", "a"), start=1):
        assert put(store, "TOKEN", value).version == number
        assert get(on_disk.store(), "TOKEN") == value
    assert versions(on_disk) == 3


def test_the_same_value_again_makes_no_version_and_changes_nothing(on_disk: StoreOnDisk) -> None:
    store = on_disk.store()
    put(store, "TOKEN", "v")
    before = find(store, "TOKEN")
    on_disk.time += 100
    stored = put(store, "TOKEN", "v", origin="/elsewhere", by=EnteredBy.AGENT, access=Access.READABLE)
    assert (stored.version, stored.changed) == (1, False)
    assert find(store, "TOKEN") == before
    assert versions(on_disk) == 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.text(st.characters(codec="utf-8"), min_size=1), other=st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_valid_value_comes_back_exactly(on_disk: StoreOnDisk, value: str, other: str) -> None:
    store = on_disk.store()
    put(store, "TOKEN", value)
    assert get(store, "TOKEN") == value
    assert put(store, "TOKEN", other).changed == (value != other)
    assert get(store, "TOKEN") == other
    store.close()


def test_the_largest_value_comes_back_exactly(on_disk: StoreOnDisk) -> None:
    value = "".join(chr(code % 32) for code in range(VALUE_LIMIT))
    put(on_disk.store(), "TOKEN", value)
    assert get(on_disk.store(), "TOKEN") == value


def test_the_origin_stays_with_the_name_even_through_deletion(on_disk: StoreOnDisk) -> None:
    store = on_disk.store()
    put(store, "TOKEN", "a", origin="/srv/api")
    put(store, "TOKEN", "b", origin="/srv/clone", by=EnteredBy.AGENT)
    assert find(store, "TOKEN").origin == "/srv/api"
    delete(store, "TOKEN")
    put(store, "TOKEN", "c", origin="/srv/clone", by=EnteredBy.AGENT)
    assert find(store, "TOKEN").origin == "/srv/api"


def test_scopes_are_shelves_apart(on_disk: StoreOnDisk) -> None:
    store = on_disk.store()
    put(store, "TOKEN", "shared")
    put(store, "TOKEN", "acme", scope="acme-dev", origin="/srv/acme")
    assert (get(store, "TOKEN"), get(store, "TOKEN", "acme-dev")) == ("shared", "acme")
    assert find(store, "TOKEN").origin == PERSON
    delete(store, "TOKEN")
    assert get(store, "TOKEN", "acme-dev") == "acme"


# Deleting


def test_a_deletion_is_a_version_without_a_value_and_keeps_the_earlier_ones(on_disk: StoreOnDisk) -> None:
    store = on_disk.store()
    put(store, "TOKEN", "v")
    delete(store, "TOKEN")
    record = find(store, "TOKEN")
    assert (record.deleted, record.version, versions(on_disk)) == (True, 2, 2)
    assert contents(store) == {}


def test_a_deleted_name_can_be_stored_again_even_with_the_same_value(on_disk: StoreOnDisk) -> None:
    store = on_disk.store()
    put(store, "TOKEN", "v")
    delete(store, "TOKEN")
    stored = put(store, "TOKEN", "v")
    assert (stored.version, stored.changed) == (3, True)
    assert get(on_disk.store(), "TOKEN") == "v"


def test_a_name_that_never_was_is_not_found(on_disk: StoreOnDisk) -> None:
    with on_disk.store().read() as tx:
        assert records.find(tx, "shared", "TOKEN") is None


# Access


def test_access_changes_without_a_new_version_and_survives_set_and_delete(on_disk: StoreOnDisk) -> None:
    store = on_disk.store()
    put(store, "TOKEN", "v")
    stored = put(store, "TOKEN", "v", access=Access.USE_ONLY)
    assert (stored.version, stored.changed, stored.access) == (1, True, Access.USE_ONLY)
    assert put(store, "TOKEN", "w").access is Access.USE_ONLY
    delete(store, "TOKEN")
    assert put(store, "TOKEN", "x").access is Access.USE_ONLY
    assert find(on_disk.store(), "TOKEN").access is Access.USE_ONLY
    assert put(store, "TOKEN", "x", access=Access.READABLE).access is Access.READABLE
    assert contents(on_disk.store()) == {"TOKEN": "x"}


def test_every_change_of_a_head_has_a_revision_of_its_own(on_disk: StoreOnDisk) -> None:
    store = on_disk.store()
    revisions = []
    for value, access in (("a", None), ("a", Access.USE_ONLY), ("a", Access.READABLE), ("b", Access.USE_ONLY)):
        put(store, "TOKEN", value, access=access)
        revisions.append(find(store, "TOKEN").revision)
    delete(store, "TOKEN")
    assert [*revisions, find(store, "TOKEN").revision] == [1, 2, 3, 4, 5]


# Renaming


def test_a_rename_moves_every_version_with_origin_and_access(on_disk: StoreOnDisk) -> None:
    store = on_disk.store()
    put(store, "OLD", "a", origin="/srv/api", access=Access.USE_ONLY)
    put(store, "OLD", "b")
    put(store, "OTHER", "o")
    rename(on_disk, "OLD", "NEW")
    with on_disk.store().read() as tx:
        assert records.find(tx, "shared", "OLD") is None
    record = find(on_disk.store(), "NEW")
    assert (record.origin, record.access, record.version) == ("/srv/api", Access.USE_ONLY, 2)
    assert contents(on_disk.store()) == {"NEW": "b", "OTHER": "o"}
    assert versions(on_disk) == 3
    assert put(store, "NEW", "c").version == 3
    assert put(store, "OLD", "new under the old name").version == 1


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM versions WHERE version = 1", "UPDATE versions SET token = x'00' WHERE version = 1"],
    ids=["removed", "changed"],
)
def test_a_rename_does_not_vouch_anew_for_a_history_that_was_tampered_with(
    on_disk: StoreOnDisk, statement: str
) -> None:
    for value in ("a", "b"):
        put(on_disk.store(), "OLD", value)
    change(on_disk, statement)
    with pytest.raises(StoreError) as caught:
        rename(on_disk, "OLD", "NEW")
    assert caught.value.code is Code.STORE_TAMPERED


def test_an_older_version_that_was_tampered_with_is_found_when_the_history_is_verified(on_disk: StoreOnDisk) -> None:
    store = on_disk.store()
    for value in ("a", "b"):
        put(store, "TOKEN", value)
    change(on_disk, "DELETE FROM versions WHERE version = 1")
    assert get(store, "TOKEN") == "b"
    put(store, "TOKEN", "c")  # a new version must not hide the missing version
    with pytest.raises(StoreError) as caught:
        contents(store)
    assert caught.value.code is Code.STORE_TAMPERED


def test_whoever_asks_for_less_than_the_whole_gets_a_record_though_another_is_damaged(on_disk: StoreOnDisk) -> None:
    store = on_disk.store()
    put(store, "GOOD", "v")
    good = sqlite3.connect(on_disk.path)
    row = good.execute("SELECT record FROM records").fetchone()
    good.close()
    put(store, "DAMAGED", "w")
    change(on_disk, "DELETE FROM records WHERE record <> ?", *row)
    with pytest.raises(StoreError):
        get(store, "GOOD")
    with store.read(whole=False) as tx:
        assert records.value(tx, existing(tx, "GOOD")) == "v"


def test_one_transaction_looks_up_any_number_of_names(on_disk: StoreOnDisk) -> None:
    names = [f"NAME_{number}" for number in range(2 * _REMEMBERED + 2)]
    put(on_disk.store(), names[-1], "v")
    with on_disk.store().read() as tx:
        assert [name for name in names if records.find(tx, SHARED, name)] == names[-1:]
        assert [name for name in names if records.find(tx, SHARED, name)] == names[-1:]


def test_what_was_looked_up_is_not_kept_without_end(on_disk: StoreOnDisk) -> None:
    store = on_disk.store()
    put(store, "TOKEN", "v")
    for begin in range(0, 5 * _REMEMBERED, _REMEMBERED):
        with store.read() as tx:
            for number in range(begin, begin + _REMEMBERED):
                records.find(tx, SHARED, f"NAME_{number}")
            assert len(tx.remembered) <= 2 * _REMEMBERED


# Grants


def test_a_grant_holds_for_exactly_what_it_says(on_disk: StoreOnDisk) -> None:
    grant = Grant(project="/srv/api", scope="shared", name="TOKEN")
    store = on_disk.store()
    with store.write() as tx:
        assert grants.add(tx, grant) is True
        assert grants.add(tx, grant) is False
    others = [
        Grant(project="/srv/apis", scope="shared", name="TOKEN"),
        Grant(project="/srv/api", scope="acme", name="TOKEN"),
        Grant(project="/srv/api", scope="shared", name="TOKENS"),
        Grant(project="/srv/api", scope="shared"),
    ]
    with on_disk.store().read() as tx:
        assert grants.holds(tx, grant)
        assert not any(grants.holds(tx, other) for other in others)
        assert grants.list_all(tx) == [grant]
    with store.write() as tx:
        assert grants.remove(tx, grant) is True
        assert grants.remove(tx, grant) is False
    with on_disk.store().read() as tx:
        assert grants.list_all(tx) == []
