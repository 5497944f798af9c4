"""The changes that an attacker can make to any table with the store's file and SQLite, but without a key."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

Key: TypeAlias = tuple[object, ...]
"""The values of a row's primary key."""


@contextmanager
def attacker(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a connection to the file at `path`; commit its changes, and write the log back into the file if possible."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        yield connection
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def tables(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")]


def columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def key_columns(connection: sqlite3.Connection, table: str) -> list[str]:
    info = [(row[5], row[1]) for row in connection.execute(f"PRAGMA table_info({table})")]
    return [name for position, name in sorted(info) if position]


def other_columns(connection: sqlite3.Connection, table: str) -> list[str]:
    keys = key_columns(connection, table)
    return [name for name in columns(connection, table) if name not in keys]


def keys(connection: sqlite3.Connection, table: str) -> list[Key]:
    names = ", ".join(key_columns(connection, table))
    return connection.execute(f"SELECT {names} FROM {table} ORDER BY {names}").fetchall()


def row(connection: sqlite3.Connection, table: str, key: Key) -> dict[str, object]:
    found = connection.execute(f"SELECT * FROM {table} WHERE {_where(connection, table)}", key).fetchone()
    assert found is not None, (table, key)
    return dict(zip(columns(connection, table), found, strict=True))


def delete(connection: sqlite3.Connection, table: str, key: Key) -> None:
    count = connection.execute(f"DELETE FROM {table} WHERE {_where(connection, table)}", key).rowcount
    assert count == 1, (table, key)


def insert(connection: sqlite3.Connection, table: str, values: dict[str, object]) -> None:
    marks = ", ".join("?" * len(values))
    statement = f"INSERT OR REPLACE INTO {table} ({', '.join(values)}) VALUES ({marks})"
    connection.execute(statement, tuple(values.values()))


def change(connection: sqlite3.Connection, table: str, key: Key, column: str, cell: object) -> None:
    statement = f"UPDATE {table} SET {column} = ? WHERE {_where(connection, table)}"
    assert connection.execute(statement, (cell, *key)).rowcount == 1, (table, key)


def copy(connection: sqlite3.Connection, table: str, key: Key, new_key: Key) -> None:
    """Also store the same content under another key."""
    names = key_columns(connection, table)
    insert(connection, table, row(connection, table, key) | dict(zip(names, new_key, strict=True)))


def swap(connection: sqlite3.Connection, table: str, key: Key, other: Key) -> None:
    """Exchange everything except the keys of two rows."""
    mine, theirs = row(connection, table, key), row(connection, table, other)
    for column in other_columns(connection, table):
        change(connection, table, key, column, theirs[column])
        change(connection, table, other, column, mine[column])


def unused_keys(connection: sqlite3.Connection, table: str, key: Key) -> Iterator[Key]:
    """Return unused keys near `key`: one for each column of the key."""
    taken = keys(connection, table)
    for position, cell in enumerate(key):
        candidate: object = cell
        while (new_key := (*key[:position], candidate, *key[position + 1 :])) in taken:
            candidate = _next(candidate)
        yield new_key


def revert(connection: sqlite3.Connection, table: str, snapshot: Path) -> None:
    """Replace a whole table with its content in an older copy of the file."""
    connection.execute("ATTACH ? AS older", (str(snapshot),))
    connection.execute(f"DELETE FROM main.{table}")
    connection.execute(f"INSERT INTO main.{table} SELECT * FROM older.{table}")
    connection.execute("DETACH older")


def all_rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of the file, by table."""
    connection = sqlite3.connect(path)
    try:
        return {
            table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            for table in tables(connection)
        }
    finally:
        connection.close()


def proper_subsets(of: list[str]) -> list[tuple[str, ...]]:
    """Return all subsets except the empty and the full one."""
    return [chosen for size in range(1, len(of)) for chosen in combinations(of, size)]


def flipped(cell: object, position: int) -> object:
    """Return the cell with one bit flipped at a position (negative: from the end); its type stays the same."""
    if isinstance(cell, int):
        return cell ^ 1
    data = bytearray(cell.encode() if isinstance(cell, str) else _bytes(cell))
    data[position] ^= 1
    return data.decode() if isinstance(cell, str) else bytes(data)


def truncated(cell: object, length: int) -> object:
    """Return the first part of the cell; a number becomes 0."""
    if isinstance(cell, int):
        return 0
    return cell[:length] if isinstance(cell, str) else _bytes(cell)[:length]


def _bytes(cell: object) -> bytes:
    assert isinstance(cell, bytes)
    return cell


def _next(cell: object) -> object:
    if isinstance(cell, int):
        return cell + 1
    if isinstance(cell, str):
        return cell + "0"
    data = _bytes(cell)
    return ((int.from_bytes(data, "big") + 1) % (1 << 8 * len(data))).to_bytes(len(data), "big")


def _where(connection: sqlite3.Connection, table: str) -> str:
    return " AND ".join(f"{name} = ?" for name in key_columns(connection, table))
