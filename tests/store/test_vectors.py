"""The vectors of format 1: good stores contain exactly what is stated, faulty stores are refused with their code."""

import json
import shutil
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from claude_secrets.errors import SecretsError
from claude_secrets.model import EnteredBy
from claude_secrets.store import records
from claude_secrets.store.store import Store
from tests.support import sqlite_attacker as attacker
from tests.vectors import generate
from tests.vectors.draft import stated
from tests.vectors.held import DIRECTORY, TIME, HeldKey

VECTORS: list[dict[str, Any]] = json.loads((DIRECTORY / "vectors.json").read_text())
GOOD = [vector for vector in VECTORS if "code" not in vector]
FAULTY = [vector for vector in VECTORS if "code" in vector]


def named(vectors: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


def read(vector: dict[str, Any], tmp_path: Path) -> dict[str, object]:
    """Verify the whole store of the vector, and return its content."""
    path = shutil.copyfile(DIRECTORY / vector["file"], tmp_path / "secrets.db")
    with closing(Store(path, HeldKey(vector["master_key"]), lambda: TIME)) as store, store.read() as tx:
        return stated(tx)


@pytest.mark.parametrize("vector", named(GOOD))
def test_a_good_vector_holds_what_is_stated(vector: dict[str, Any], tmp_path: Path) -> None:
    found = read(vector, tmp_path)
    assert found == {key: vector[key] for key in ("secrets", "deleted", "grants", "events")}


@pytest.mark.parametrize("vector", named(FAULTY))
def test_a_vector_with_a_fault_is_refused_with_its_code(vector: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SecretsError) as caught:
        read(vector, tmp_path)
    assert caught.value.code == vector["code"]


@pytest.mark.parametrize("vector", named(GOOD))
def test_a_good_vector_can_be_written_on(vector: dict[str, Any], tmp_path: Path) -> None:
    path = shutil.copyfile(DIRECTORY / vector["file"], tmp_path / "secrets.db")
    custody = HeldKey(vector["master_key"])
    with closing(Store(path, custody, lambda: TIME)) as store, store.write() as tx:
        records.put(tx, scope="shared", name="ADDED", value="new", origin="person", entered_by=EnteredBy.PERSON)
    with closing(Store(path, custody, lambda: TIME)) as store, store.read() as tx:
        secrets = stated(tx)["secrets"]
    assert isinstance(secrets, list)
    assert len(secrets) == len(vector["secrets"]) + 1


def rows(file: str, tmp_path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return the rows of the vector's file. This reads a copy, because SQLite writes files next to the one it reads."""
    return attacker.all_rows(Path(shutil.copyfile(DIRECTORY / file, tmp_path / file)))


def test_every_table_has_a_vector_of_every_fault(tmp_path: Path) -> None:
    names = {vector["name"] for vector in FAULTY}
    tables = rows("good-everything.db", tmp_path)
    assert {f"{kind}-{table}" for table in tables for kind in generate.FAULTS} <= names
    assert {"wrong-key", "foreign-slots", "future-format", *generate.STATEMENTS} <= names


def test_the_vectors_are_small_and_every_file_is_stated_once() -> None:
    files = Counter(vector["file"] for vector in VECTORS)
    assert set(files) == {path.name for path in DIRECTORY.glob("*.db*")}
    assert set(files.values()) == {1}
    assert all((DIRECTORY / file).stat().st_size < 64 * 1024 for file in files)


def test_each_faulty_vector_differs_from_the_good_one_in_one_thing(tmp_path: Path) -> None:
    good = rows("good-everything.db", tmp_path)
    for vector in FAULTY:
        table = vector["name"].partition("-")[2]
        if table in good and vector["name"] != "swapped-store":  # this vector also changes a record
            found = rows(vector["file"], tmp_path)
            assert {name for name in good if found[name] != good[name]} == {table}, vector["name"]


def test_vectors_are_never_made_over_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "vectors.json").write_text("[]")
    with pytest.raises(SystemExit, match="never change"):
        generate.main(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["vectors.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="the key file's path in the vectors is absolute only on POSIX")
def test_the_generator_makes_what_is_here(tmp_path: Path) -> None:
    generate.main(tmp_path)
    made = json.loads((tmp_path / "vectors.json").read_text())
    keys = {"master_key"}  # every run makes new keys
    assert [{k: v for k, v in entry.items() if k not in keys} for entry in made] == [
        {k: v for k, v in entry.items() if k not in keys} for entry in VECTORS
    ]
