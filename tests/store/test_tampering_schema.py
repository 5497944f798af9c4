"""Someone without the key changes the tables of the file, or makes its key slots name other places.

As in `test_tampering.py`, each try is refused or gains nothing. Nothing crashes or waits.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.test_tampering import held
from tests.support import sqlite_attacker as attacker
from tests.support.posix import make_pipe
from tests.support.sqlite_attacker import Key
from tests.support.tampering_scenario import ROWS, Scene, TamperingScenario


@pytest.fixture(params=["a running server", "a new server"])
def scene(request: pytest.FixtureRequest, scenario: TamperingScenario, tmp_path: Path) -> Iterator[Scene]:
    with scenario.attacked(tmp_path / "attacked") as scene:
        if request.param == "a running server":
            scene.warm_up()
        yield scene


def everything_is_refused(scene: Scene, code: str) -> bool:
    return set(scene.seen().values()) == {code} and scene.check() == code


# The tables of the file


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE notes (note)",
        "CREATE VIEW notes AS SELECT * FROM grants",
        "CREATE INDEX notes ON versions (version)",
        "CREATE TRIGGER notes AFTER INSERT ON versions BEGIN DELETE FROM grants; END",
        "CREATE TRIGGER store AFTER UPDATE ON store BEGIN DELETE FROM counters; END",
        "CREATE VIRTUAL TABLE notes USING fts5(note)",
        "ALTER TABLE versions ADD COLUMN note TEXT",
        "ALTER TABLE grants RENAME TO permissions",
        "ALTER TABLE counters RENAME COLUMN token TO tokens",
        *(f"DROP TABLE {table}" for table in ROWS),
        "ANALYZE",
    ],
)
def test_a_changed_schema_is_refused(scene: Scene, statement: str) -> None:
    with attacker.attacker(scene.path) as connection:
        connection.execute(statement)
    assert everything_is_refused(scene, "STORE_TAMPERED")


def test_a_trigger_that_hides_behind_a_tables_name_is_refused(scene: Scene) -> None:
    """Move the trigger's entry before the entry of the table with the same name."""
    with attacker.attacker(scene.path) as connection:
        connection.execute("CREATE TRIGGER counters AFTER INSERT ON versions BEGIN DELETE FROM grants; END")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET rowid = rowid + 100 WHERE type = 'table' AND name = 'counters'")
        connection.execute("PRAGMA writable_schema = RESET")
        entries = connection.execute("SELECT type FROM sqlite_schema WHERE name = 'counters'").fetchall()
    assert entries == [("trigger",), ("table",)]
    assert everything_is_refused(scene, "STORE_TAMPERED")


@pytest.mark.parametrize(
    ("pragma", "code"),
    [
        ("user_version = 2", "STORE_FORMAT"),
        ("user_version = 0", "STORE_FORMAT"),
        ("application_id = 0", "STORE_FORMAT"),
    ],
)
def test_another_format_or_application_is_refused(scene: Scene, pragma: str, code: str) -> None:
    with attacker.attacker(scene.path) as connection:
        connection.execute(f"PRAGMA {pragma}")
    assert everything_is_refused(scene, code)


@pytest.mark.parametrize("statement", ["VACUUM", "REINDEX", "PRAGMA journal_mode = DELETE"])
def test_rearranging_the_file_gains_nothing(scenario: TamperingScenario, tmp_path: Path, statement: str) -> None:
    with scenario.attacked(tmp_path / "attacked") as scene:
        with attacker.attacker(scene.path) as connection:
            connection.execute(statement)
        assert held(scene.seen(), scenario.known["the end"]) == set()
        assert scene.check() == "whole"


def without_types(connection: sqlite3.Connection, table: str, statement: str, *parameters: object) -> None:
    """Execute a statement on a table whose columns accept any type, and then make the table look strict again."""
    (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    loose = sql.replace(" STRICT, WITHOUT ROWID", " WITHOUT ROWID").replace(" STRICT", "").replace(" NOT NULL", "")
    for text in (loose, sql):
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = ?", (text, table))
        connection.execute("PRAGMA writable_schema = RESET")
        if text is loose:
            assert connection.execute(statement, parameters).rowcount > 0


@pytest.mark.parametrize("cell", ["same as text", "text", 7, 1.5, None], ids=repr)
@pytest.mark.parametrize("table", ROWS)
def test_cells_of_another_type_are_refused_or_gain_nothing(
    scene: Scene, scenario: TamperingScenario, table: str, cell: object
) -> None:
    with attacker.attacker(scene.path) as connection:
        column = attacker.other_columns(connection, table)[-1]
        statement = f"UPDATE {table} SET {column} = " + (f"CAST({column} AS TEXT)" if cell == "same as text" else "?")
        without_types(connection, table, statement, *([] if cell == "same as text" else [cell]))
        assert "BLOB" in str(connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone())
    held(scene.seen(), scenario.known["the end"])
    assert scene.check() in {"STORE_TAMPERED", "KEY_WRONG"}


@pytest.mark.parametrize(
    ("table", "column"),
    [("store", "store_id"), ("key_slots", "slot_id"), ("key_slots", "kind"), ("key_slots", "params")],
)
@pytest.mark.parametrize("data", [b"\xff\xfe", b"\xed\xa0\x80", b"a\x00b", b"", "\N{KEY}".encode() * 999])
def test_text_that_is_no_text_is_refused_or_gains_nothing(
    scene: Scene, scenario: TamperingScenario, table: str, column: str, data: bytes
) -> None:
    with attacker.attacker(scene.path) as connection:
        key = attacker.keys(connection, table)[0]
        where = " AND ".join(f"{name} = ?" for name in attacker.key_columns(connection, table))
        connection.execute(f"UPDATE {table} SET {column} = CAST(? AS TEXT) WHERE {where}", (data, *key))
    held(scene.seen(), scenario.known["the end"])
    assert scene.check() in {"STORE_TAMPERED", "KEY_WRONG", "KEY_MISSING"}


# Key slots that name other places


def slot(connection: sqlite3.Connection, **cells: object) -> Key:
    """Insert a slot that comes before the others; it is like the first one except for `cells`."""
    first = attacker.row(connection, "key_slots", attacker.keys(connection, "key_slots")[0])
    attacker.insert(connection, "key_slots", first | {"slot_id": "0" * 16} | cells)
    return ("0" * 16,)


PARAMS = {
    "no JSON": "{",
    "a list": "[]",
    "null": "null",
    "a number": '{"path": 5}',
    "no path": "{}",
    "relative": '{"path": "master.key"}',
    "NUL": '{"path": "/a\\u0000b"}',
    "lone surrogate": '{"path": "/\\ud800"}',
    "a directory": '{"path": "/"}',
    "a device": '{"path": "/dev/zero"}',
    "a long path": '{"path": "/' + "a" * 70_000 + '"}',
    "deep nesting": "[" * 100_000,
    "another file": '{"path": "/etc/passwd"}',
}


@pytest.mark.parametrize("params", PARAMS)
def test_an_added_slot_is_refused_whatever_it_points_to(scene: Scene, scenario: TamperingScenario, params: str) -> None:
    with attacker.attacker(scene.path) as connection:
        slot(connection, params=PARAMS[params])
    held(scene.seen(), scenario.known["the end"])
    assert scene.check() in {"STORE_TAMPERED", "KEY_WRONG", "KEY_MISSING"}


@pytest.mark.parametrize("params", PARAMS)
def test_slots_that_all_point_elsewhere_are_refused(scene: Scene, scenario: TamperingScenario, params: str) -> None:
    with attacker.attacker(scene.path) as connection:
        connection.execute("UPDATE key_slots SET params = ?", (PARAMS[params],))
    held(scene.seen(), scenario.known["the end"])
    assert scene.check() in {"KEY_WRONG", "KEY_MISSING"}


def test_a_slot_that_points_to_a_pipe_does_not_make_anyone_wait(
    scene: Scene, scenario: TamperingScenario, tmp_path: Path
) -> None:
    make_pipe(tmp_path / "pipe")
    with attacker.attacker(scene.path) as connection:
        slot(connection, params=f'{{"path": "{tmp_path}/pipe"}}')
    held(scene.seen(), scenario.known["the end"])
    assert scene.check() == "STORE_TAMPERED"


@pytest.mark.parametrize("kind", ["keyring", "passphrase", ""])
def test_an_added_slot_of_another_kind_is_refused(scene: Scene, scenario: TamperingScenario, kind: str) -> None:
    with attacker.attacker(scene.path) as connection:
        slot(connection, kind=kind, params="{}")
    held(scene.seen(), scenario.known["the end"])
    assert scene.check() == "STORE_TAMPERED"
