"""Someone changes the store's file without its key: the change is detected or gains nothing.

The attacks cover each row of each table, and everything else that an SQLite file can contain. After each attack, an
agent tries everything it can. Each try either ends as it did before the attack or is refused as tampering. Every try
that relies on the attacked row is refused. `doctor` detects every attack.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import sqlite_attacker as attacker
from tests.support.rounds import in_turn
from tests.support.sqlite_attacker import Key
from tests.support.tampering_scenario import NAMES, ROWS, Seen, TamperingScenario, moment_of

REFUSALS = {"STORE_TAMPERED", "STORE_FORMAT", "KEY_WRONG", "KEY_MISSING", "KEYRING_UNAVAILABLE"}

Attack: TypeAlias = Callable[[sqlite3.Connection, str, Key, "Others"], None]


class Others:
    """Rows that an attacker may use: another row of the table, and the same table of another person's store."""

    def __init__(self, other: Key | None, foreign: Path) -> None:
        self.other = other
        self.foreign = foreign

    def foreign_row(self, table: str) -> dict[str, object]:
        connection = sqlite3.connect(self.foreign)
        try:
            return attacker.row(connection, table, attacker.keys(connection, table)[0])
        finally:
            connection.close()


@pytest.fixture(scope="module")
def keys(scenario: TamperingScenario) -> dict[str, dict[str, Key]]:
    return scenario.keys()


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another person's store with a history of the same kind."""
    return TamperingScenario(tmp_path_factory.mktemp("foreign")).final


# The attacks on one row


def put_other_cells(connection: sqlite3.Connection, table: str, key: Key, cells: dict[str, object]) -> None:
    for column in attacker.other_columns(connection, table):
        attacker.change(connection, table, key, column, cells[column])


def delete(connection: sqlite3.Connection, table: str, key: Key, others: Others) -> None:
    attacker.delete(connection, table, key)


def copy(connection: sqlite3.Connection, table: str, key: Key, others: Others) -> None:
    for new_key in list(attacker.unused_keys(connection, table, key)):
        attacker.copy(connection, table, key, new_key)


def move(connection: sqlite3.Connection, table: str, key: Key, others: Others) -> None:
    new_key = next(attacker.unused_keys(connection, table, key))
    attacker.copy(connection, table, key, new_key)
    attacker.delete(connection, table, key)


def swap(connection: sqlite3.Connection, table: str, key: Key, others: Others) -> None:
    if others.other is not None:
        attacker.swap(connection, table, key, others.other)
    else:  # a table of one row: a record's head replaces the store's
        head = attacker.row(connection, "records", attacker.keys(connection, "records")[0])["head"]
        attacker.change(connection, table, key, "head", head)


def overwrite(connection: sqlite3.Connection, table: str, key: Key, others: Others) -> None:
    other = others.other
    put_other_cells(
        connection, table, key, attacker.row(connection, table, other) if other else others.foreign_row(table)
    )


def insert_foreign(connection: sqlite3.Connection, table: str, key: Key, others: Others) -> None:
    row = others.foreign_row(table)
    new_key = next(
        attacker.unused_keys(connection, table, tuple(row[c] for c in attacker.key_columns(connection, table)))
    )
    attacker.insert(connection, table, row | dict(zip(attacker.key_columns(connection, table), new_key, strict=True)))


def replace_by_foreign(connection: sqlite3.Connection, table: str, key: Key, others: Others) -> None:
    put_other_cells(connection, table, key, others.foreign_row(table))


def in_each_cell(make: Callable[[object], object]) -> Attack:
    def attack(connection: sqlite3.Connection, table: str, key: Key, others: Others) -> None:
        for column in attacker.other_columns(connection, table):
            cell = make(attacker.row(connection, table, key)[column])
            attacker.change(connection, table, key, column, cell)

    return attack


def in_the_token(make: Callable[[object], object]) -> Attack:
    def attack(connection: sqlite3.Connection, table: str, key: Key, others: Others) -> None:
        column = attacker.other_columns(connection, table)[-1]
        attacker.change(connection, table, key, column, make(attacker.row(connection, table, key)[column]))

    return attack


ATTACKS: dict[str, Attack] = {
    "deleted": delete,
    "copied under another key": copy,
    "moved to another key": move,
    "swapped with another row": swap,
    "overwritten with another row": overwrite,
    "foreign row inserted": insert_foreign,
    "replaced by a foreign row": replace_by_foreign,
    "first byte flipped": in_the_token(lambda cell: attacker.flipped(cell, 0)),
    "middle byte flipped": in_the_token(lambda cell: attacker.flipped(cell, 150)),
    "last byte flipped": in_the_token(lambda cell: attacker.flipped(cell, -1)),
    "all cells flipped": in_each_cell(lambda cell: attacker.flipped(cell, 0)),
    "truncated": in_the_token(lambda cell: attacker.truncated(cell, 100)),
    "emptied": in_the_token(lambda cell: attacker.truncated(cell, 0)),
    "all cells emptied": in_each_cell(lambda cell: attacker.truncated(cell, 0)),
}

NEWEST = {"AGENT 2", "OWN 1", "FOREIGN 1", "NEW 2", "acme TOKEN 1"}
"""The versions that an agent is given. A change of another version is only detected by `doctor`."""


class Case(NamedTuple):
    """One attack on one row. A running server has read everything before; a new server must fetch the key."""

    table: str
    label: str
    attack: str
    server: str = "running"


def must_be_refused(case: Case) -> set[str]:
    """Return the tries that rely on the attacked row."""
    table, label, attack, server = case
    if table in {"store", "records"} or (table == "key_slots" and server == "new"):
        return set(TRIES)
    if table == "grants":
        return {"list api", "list clone", "list acme", "get FOREIGN", "get ELSEWHERE", "get GUARDED"}
    if table == "counters":
        return {"ask", "set", "set again"}
    if table == "versions" and label in NEWEST and attack != "foreign row inserted":
        name = label.rpartition(" ")[0]
        return {"get TOKEN from acme" if name == "acme TOKEN" else f"get {name}"}
    return set()


TRIES = ["list api", "list clone", "list acme", *(f"get {name}" for name in NAMES), "ask", "set", "set again"]


def held(seen: Seen, before: Seen) -> set[str]:
    """Return the refused tries; fail if any other outcome differs from the one before the attack."""
    refused = set()
    for what, outcome in seen.items():
        if outcome in REFUSALS:
            refused.add(what.partition(" ")[2])
        else:
            expected = before[what]
            # A refused change did not happen, so later tries may still see the state before it.
            later = what.startswith(("20 ", "21 ", "17 ", "18 "))
            assert outcome == expected or (later and refused), (what, outcome, expected)
    return refused


def test_every_table_and_every_row_is_attacked(scenario: TamperingScenario, keys: dict[str, dict[str, Key]]) -> None:
    """This test fails for a new table until `ROWS` names its rows and `must_be_refused` names its tries."""
    connection = sqlite3.connect(scenario.final)
    found = {table: set(attacker.keys(connection, table)) for table in attacker.tables(connection)}
    connection.close()
    assert {table: set(rows.values()) for table, rows in keys.items()} == found
    assert {table: list(rows) for table, rows in keys.items()} == ROWS


# The log's rows are all alike, and no agent reads them: attack only the first, one in the middle and the last.
ATTACKED = {**ROWS, "audit": [ROWS["audit"][0], ROWS["audit"][9], ROWS["audit"][-1]]}
CASES = [
    Case(table, label, attack)
    for table, labels in ATTACKED.items()
    for number, label in enumerate(labels)
    for attack in in_turn([*ATTACKS], number, len(ATTACKS) // min(len(labels), 2))
]
CASES += [Case(case.table, case.label, case.attack, "new") for case in CASES if case.table in {"store", "key_slots"}]


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.table}: {case.label}: {case.attack}, {case.server} server"
)
def test_an_attack_on_a_row_is_found_or_gains_nothing(
    scenario: TamperingScenario, keys: dict[str, dict[str, Key]], foreign: Path, tmp_path: Path, case: Case
) -> None:
    rows = keys[case.table]
    rest = [other for label, other in rows.items() if label != case.label]
    with scenario.attacked(tmp_path / "attacked") as scene:
        if case.server == "running":
            scene.warm_up()
        with attacker.attacker(scene.path) as connection:
            others = Others(rest[0] if rest else None, foreign)
            ATTACKS[case.attack](connection, case.table, rows[case.label], others)
        assert moment_of(scene.path, scenario) is None, "the attack changed nothing"
        refused = held(scene.seen(), scenario.known["the end"])
        missed = must_be_refused(case) - refused
        assert not missed
        assert scene.check() in REFUSALS


# Restoring older rows and tables


STEPS = {
    "set": ["store", "records", "versions", "counters", "audit"],
    "delete": ["store", "records", "versions", "audit"],
    "access change": ["store", "records", "versions", "audit"],
    "grant": ["store", "grants", "audit"],
    "revoke": ["store", "grants", "audit"],
    "counter": ["store", "counters", "audit"],
    "rename": ["store", "records", "versions", "audit"],
    "key slot": ["store", "key_slots"],
    "event": ["store", "audit"],
}
"""The tables that each change in the history touched."""

REVERTED = [(step, tables) for step, touched in STEPS.items() for tables in attacker.proper_subsets(touched)]


def test_each_change_touched_the_tables_it_is_known_for(scenario: TamperingScenario) -> None:
    moments = list(scenario.moments)
    assert moments == [*STEPS, "the end"]
    for step, touched in STEPS.items():
        before, after = scenario.past[step], scenario.past[moments[moments.index(step) + 1]]
        assert {table for table in before if before[table] != after[table]} == set(touched), step
    assert {table for touched in STEPS.values() for table in touched} == set(ROWS)


@pytest.mark.parametrize(
    ("step", "tables"), [pytest.param(*case, id=f"{case[0]}: {'+'.join(case[1])}") for case in REVERTED]
)
def test_no_part_of_a_change_can_be_taken_back(
    scenario: TamperingScenario, tmp_path: Path, step: str, tables: tuple[str, ...]
) -> None:
    moments = list(scenario.moments)
    after = moments[moments.index(step) + 1]
    with scenario.attacked(tmp_path / "attacked", scenario.moments[after]) as scene:
        with attacker.attacker(scene.path) as connection:
            for table in tables:
                attacker.revert(connection, table, scenario.moments[step])
        assert moment_of(scene.path, scenario) is None
        # The store's head decides which moment agents see. An attacker who reverts the head gains only that.
        refused = held(scene.seen(), scenario.known[step if "store" in tables else after])
        # An access change also seals the version again, but no agent is given a version of a use-only secret.
        # Only the person reads the log.
        assert refused or set(tables) <= ({"versions", "audit"} if step == "access change" else {"audit"})
        assert scene.check() == "STORE_TAMPERED"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rows_of_different_moments_never_make_a_store(
    scenario: TamperingScenario, tmp_path: Path, data: st.DataObject
) -> None:
    pasts = scenario.past
    head = data.draw(st.sampled_from(list(pasts)), label="the store's head")
    # Most rows come from the head's moment, because a mixture of all moments is detected too easily.
    away = data.draw(st.lists(st.sampled_from(list(pasts)), min_size=1, max_size=3), label="other moments")
    with scenario.attacked(tmp_path / "attacked", scenario.moments[head]) as scene:
        with attacker.attacker(scene.path) as connection:
            for moment in away:
                table = data.draw(st.sampled_from([table for table in ROWS if table != "store"]))
                changed = sorted(set(pasts[moment][table]) ^ set(pasts[head][table]), key=repr)
                for row in data.draw(st.lists(st.sampled_from(changed), unique=True)) if changed else []:
                    take_over(connection, table, row, present=row in pasts[moment][table])
        unchanged = moment_of(scene.path, scenario) == head
        refused = held(scene.seen(), scenario.known[head])
        assert not (unchanged and refused)
        assert scene.check() == ("whole" if unchanged else "STORE_TAMPERED")


def take_over(connection: sqlite3.Connection, table: str, row: tuple[object, ...], *, present: bool) -> None:
    """Change a row to its state at another moment: present with this content, or absent."""
    values = dict(zip(attacker.columns(connection, table), row, strict=True))
    if present:
        attacker.insert(connection, table, values)
        return
    key = tuple(values[column] for column in attacker.key_columns(connection, table))
    if key in attacker.keys(connection, table):
        attacker.delete(connection, table, key)
