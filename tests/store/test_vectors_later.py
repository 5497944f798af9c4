"""The vectors of later additions to format 1, read by the program and by this module's own code."""

import json
import shutil
import sqlite3
import unicodedata
from base64 import urlsafe_b64encode
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from claude_secrets.errors import Code, CustodyError
from claude_secrets.keys.custody import Custody
from claude_secrets.model import EnteredBy
from claude_secrets.store import records
from claude_secrets.store.store import Store
from tests.store.test_vectors import named
from tests.vectors import later
from tests.vectors.draft import stated
from tests.vectors.held import TIME, HeldKey

VECTORS: list[dict[str, Any]] = json.loads((later.LATER / "vectors.json").read_text())
STATED = ("secrets", "deleted", "grants", "events")
(WITH_PASSPHRASE,) = (vector for vector in VECTORS if "passphrase" in vector)


def copied(vector: dict[str, Any], tmp_path: Path) -> Path:
    return Path(shutil.copyfile(later.LATER / vector["file"], tmp_path / "secrets.db"))


@pytest.mark.parametrize("vector", named(VECTORS))
def test_a_vector_holds_what_is_stated_and_can_be_written_on(vector: dict[str, Any], tmp_path: Path) -> None:
    path = copied(vector, tmp_path)
    with closing(Store(path, HeldKey(vector["master_key"]), lambda: TIME)) as store:
        with store.read() as tx:
            assert stated(tx) == {key: vector[key] for key in STATED}
        with store.write() as tx:
            records.put(tx, scope="shared", name="ADDED", value="v", origin="person", entered_by=EnteredBy.PERSON)
        with store.read() as tx:
            assert len(records.verify_all(tx)[0]) == 2


def opened_with(tmp_path: Path, *, passphrase: str | None = None, code: str | None = None) -> dict[str, object]:
    ask = None if passphrase is None else lambda: passphrase
    custody = Custody(environment={"XDG_RUNTIME_DIR": "/nonexistent"}, ask_passphrase=ask)
    with closing(Store(copied(WITH_PASSPHRASE, tmp_path), custody, lambda: TIME)) as store:
        if code is not None:
            store.unlock_with_code(code)
        with store.read() as tx:
            return stated(tx)


def test_a_passphrase_and_a_code_open_it(tmp_path: Path) -> None:
    wanted = {key: WITH_PASSPHRASE[key] for key in STATED}
    words, code = WITH_PASSPHRASE["passphrase"], WITH_PASSPHRASE["code"]
    assert opened_with(tmp_path, passphrase=words) == wanted
    assert opened_with(tmp_path, passphrase=unicodedata.normalize("NFD", words)) == wanted
    assert opened_with(tmp_path, code=code.lower().replace("-", " ")) == wanted
    for wrong in (words + " ", code):
        with pytest.raises(CustodyError) as caught:
            opened_with(tmp_path, passphrase=wrong)
        assert caught.value.code is Code.KEY_WRONG


def test_the_format_says_how_they_do(tmp_path: Path) -> None:
    with closing(sqlite3.connect(copied(WITH_PASSPHRASE, tmp_path))) as connection:
        rows = connection.execute("SELECT slot_id, params, wrapped FROM key_slots WHERE kind = 'passphrase'").fetchall()
        ((store_id, generation),) = connection.execute("SELECT store_id, generation FROM store")
    keys = set()
    for slot_id, text, wrapped in rows:
        params = json.loads(text)
        secret = WITH_PASSPHRASE["code"] if params.pop("recovery", False) else WITH_PASSPHRASE["passphrase"]
        assert params.pop("kdf") == "argon2id"
        kdf = Argon2id(
            salt=bytes.fromhex(params.pop("salt")),
            length=32,
            memory_cost=params.pop("memory_kib"),
            **params,
        )
        master_key = urlsafe_b64encode(kdf.derive(unicodedata.normalize("NFC", secret).encode()))
        header, _, data_key = Fernet(master_key).decrypt(wrapped).partition(b"\n")
        keys.add(data_key)
        bound = {"generation": generation, "kind": "data-key", "slot": slot_id, "slot_kind": "passphrase"}
        assert json.loads(header) == {**bound, "store": store_id}
    assert (len(rows), len(keys)) == (2, 1)


def test_they_are_never_made_over_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "vectors.json").write_text("[]")
    with pytest.raises(SystemExit, match="never change"):
        later.main(tmp_path)


def test_the_generator_makes_what_is_here(tmp_path: Path) -> None:
    later.main(tmp_path / "made")
    made = json.loads((tmp_path / "made" / "vectors.json").read_text())
    drawn = {"master_key", "code"}
    assert [{k: v for k, v in entry.items() if k not in drawn} for entry in made] == [
        {k: v for k, v in entry.items() if k not in drawn} for entry in VECTORS
    ]
    assert {vector["file"] for vector in VECTORS} == {path.name for path in later.LATER.glob("*.db")}
