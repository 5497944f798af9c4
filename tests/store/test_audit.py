"""The audit log in the store: reporting events, counting events together, removing old events, detecting changes."""

import contextlib
from collections.abc import Callable

import pytest

from claude_secrets.errors import Code, StoreError
from claude_secrets.store import audit
from claude_secrets.store.audit import AuditLog, LogEvent
from claude_secrets.store.store import Store
from tests.support import sqlite_attacker as attacker
from tests.support.store_world import StoreOnDisk

GET = LogEvent(caller="agent", action="get_secret", outcome="done", project="/work/api", name="TOKEN", client="test 1")
DENIED = LogEvent(caller="agent", action="get_secret", outcome="refused", project="/work/api", code="NOT_ALLOWLISTED")
SET = LogEvent(caller="agent", action="set_secret", outcome="done", project="/work/api", name="TOKEN", client="test 1")
LIST = LogEvent(caller="agent", action="list_secrets", outcome="done", project="/work/api", client="test 1")
DAY = 86_400


def add(store: Store, log: AuditLog, *events: LogEvent) -> None:
    for event in events:
        with store.write() as tx:
            log.add(tx, event)


def told(store: Store) -> list[tuple[int, str, int]]:
    with store.read() as tx:
        assert audit.verify(tx) == len(list(audit.entries(tx)))
        return [(entry.sequence, entry.event.name or entry.event.action, entry.times) for entry in audit.entries(tx)]


def test_events_are_told_as_they_were_written(on_disk: StoreOnDisk) -> None:
    store, log = on_disk.store(), AuditLog()
    add(store, log, GET)
    on_disk.time += 5
    add(store, log, DENIED)
    with on_disk.store().read() as tx:
        first, second = audit.entries(tx)
    assert (first.event, first.first, first.last, first.times) == (GET, 1_800_000_000, 1_800_000_000, 1)
    assert (second.event, second.first) == (DENIED, 1_800_000_005)


def test_identical_events_of_a_process_come_together_and_nothing_else_does(on_disk: StoreOnDisk) -> None:
    store, log = on_disk.store(), AuditLog()
    other = LogEvent(caller="agent", action="get_secret", outcome="refused", project="/work/api", code="NOT_TRUSTED")
    asked = LogEvent(caller="agent", action="get_secret", outcome="asked", project="/work/api")
    add(store, log, DENIED, GET, DENIED, other, GET, DENIED, asked, asked)
    assert [count for _, _, count in told(store)] == [3, 2, 1, 2]
    add(store, AuditLog(), DENIED)  # as from another process, or after a restart
    assert [count for _, _, count in told(store)] == [3, 2, 1, 2, 1]


@pytest.mark.parametrize(
    ("event", "seconds"),
    [(DENIED, audit.TOGETHER_SECONDS), (GET, audit.DONE_TOGETHER_SECONDS)],
    ids=["refused", "done"],
)
def test_events_of_another_time_are_others(on_disk: StoreOnDisk, event: LogEvent, seconds: int) -> None:
    store, log = on_disk.store(), AuditLog()
    add(store, log, event)
    on_disk.time += seconds - 1
    add(store, log, event)
    on_disk.time += 1
    add(store, log, event)
    assert [count for _, _, count in told(store)] == [2, 1]


def test_a_refusal_whose_transaction_was_rolled_back_is_counted_afresh(on_disk: StoreOnDisk) -> None:
    store, log = on_disk.store(), AuditLog()
    with contextlib.suppress(KeyError), store.write() as tx:
        log.add(tx, DENIED)
        raise KeyError
    assert told(store) == []
    add(store, log, GET)  # this event gets the number of the rolled-back refusal
    add(store, log, DENIED, DENIED)
    assert [count for _, _, count in told(store)] == [1, 2]


def test_what_is_old_goes_and_the_log_says_so(on_disk: StoreOnDisk) -> None:
    store, log = on_disk.store(), AuditLog()
    add(store, log, GET, DENIED, SET)
    on_disk.time += 60 * DAY
    add(store, log, GET)
    on_disk.time += 31 * DAY
    with store.write() as tx:
        audit.cut(tx)
    assert told(store) == [(4, "TOKEN", 1), (5, "cut", 3)]


def test_an_event_that_is_not_old_is_never_cut(on_disk: StoreOnDisk) -> None:
    store, log = on_disk.store(), AuditLog()
    add(store, log, GET)
    on_disk.time += audit.KEPT_SECONDS - 1
    with store.write() as tx:
        audit.cut(tx)
    assert told(store) == [(1, "TOKEN", 1)]


def test_of_a_flood_of_refusals_the_newest_stay_and_what_was_allowed_stays(
    on_disk: StoreOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "REFUSALS_KEPT", 5)
    monkeypatch.setattr(audit, "_CUT_EVERY", 10)
    store, log = on_disk.store(), AuditLog()
    add(store, log, GET)
    for number in range(30):
        add(store, log, LogEvent(caller="agent", action="get_secret", outcome="refused", name=f"N{number}"))
    found = told(store)
    assert found[0] == (1, "TOKEN", 1)
    names = [name for _, name, _ in found if name.startswith("N")]
    assert names == [f"N{number}" for number in range(30 - len(names), 30)]
    assert 5 <= len(names) < 15


@pytest.mark.parametrize(
    "meddle",
    [
        lambda db: attacker.delete(db, "audit", (2,)),
        lambda db: attacker.delete(db, "audit", (4,)),
        lambda db: attacker.swap(db, "audit", (1,), (2,)),
        lambda db: attacker.change(db, "audit", (2,), "refused", 0),
        lambda db: attacker.copy(db, "audit", (1,), (5,)),
        lambda db: db.execute("DELETE FROM audit"),
        lambda db: db.execute("UPDATE audit SET sequence = sequence + 1 WHERE sequence = 4"),
    ],
    ids=["deleted", "tail cut", "order changed", "flag changed", "copied", "emptied", "renumbered"],
)
def test_a_log_that_was_meddled_with_is_found(on_disk: StoreOnDisk, meddle: Callable[..., object]) -> None:
    add(on_disk.store(), AuditLog(), GET, DENIED, SET, LIST)
    on_disk.close()
    with attacker.attacker(on_disk.path) as connection:
        meddle(connection)
    with pytest.raises(StoreError) as caught, on_disk.store().read() as tx:
        audit.verify(tx)
    assert caught.value.code is Code.STORE_TAMPERED


def test_a_log_put_back_ahead_of_its_head_takes_no_further_event(on_disk: StoreOnDisk) -> None:
    add(on_disk.store(), AuditLog(), GET)
    older = on_disk.close().path.with_name("older.db")
    older.write_bytes(on_disk.path.read_bytes())
    add(on_disk.store(), AuditLog(), GET)
    on_disk.close()
    with attacker.attacker(on_disk.path) as connection:
        attacker.revert(connection, "store", older)
    with pytest.raises(StoreError) as caught:
        add(on_disk.store(), AuditLog(), GET)
    assert caught.value.code is Code.STORE_TAMPERED
