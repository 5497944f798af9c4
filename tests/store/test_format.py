"""A second implementation of store-format.md, with only SQLite, the standard library and Fernet, and no program code.

It must be able to read what the program writes, so that store-format.md says what the program does.
"""

import hmac
import json
import shutil
import sqlite3
from base64 import urlsafe_b64encode
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from claude_secrets.keys.cipher import Cipher, DataKey, new_master_key, wrap
from tests.store.test_vectors import GOOD, named
from tests.vectors.held import DIRECTORY, TIME

STORE_ID = "00112233445566778899aabbccddeeff"
SECRET = bytes(range(32))


def mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.digest(key, b"".join(len(part).to_bytes(8, "big") + part for part in parts), sha256)


def hkdf(store_id: str, data_key: bytes, label: str) -> bytes:
    extracted = hmac.digest(store_id.encode(), data_key, sha256)
    return hmac.digest(extracted, f"claude-secrets 1 {label}".encode() + b"\x01", sha256)


class Reader:
    """Reads a store as store-format.md says, with only SQLite, the standard library and Fernet."""

    def __init__(self, path: Path, master_key: str) -> None:
        self.db = sqlite3.connect(path)
        assert self.db.execute("PRAGMA application_id").fetchone() == (0x436C5365,)
        assert self.db.execute("PRAGMA user_version").fetchone() == (1,)
        assert self.db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        self.store_id, self.generation, self.head_token = self.db.execute(
            "SELECT store_id, generation, head FROM store"
        ).fetchone()
        for slot, kind, wrapped in self.db.execute("SELECT slot_id, kind, wrapped FROM key_slots"):
            fields, data_key = self.envelope(Fernet(master_key).decrypt(wrapped))
            assert fields == {
                "kind": "data-key",
                "store": self.store_id,
                "slot": slot,
                "slot_kind": kind,
                "generation": self.generation,
            }
        self.seal, self.index, self.heads = (
            hkdf(self.store_id, data_key, label) for label in ("seal", "index", "heads")
        )

    @staticmethod
    def envelope(plaintext: bytes) -> tuple[dict[str, Any], bytes]:
        line, _, payload = plaintext.partition(b"\n")
        fields = json.loads(line)
        assert line == json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
        return fields, payload

    def open(self, kind: str, place: str, token: bytes) -> tuple[dict[str, Any], bytes]:
        fields, payload = self.envelope(Fernet(urlsafe_b64encode(self.seal)).decrypt(token))
        bound = {"store": self.store_id, "generation": self.generation, "kind": kind, "place": place}
        assert {key: fields.pop(key) for key in bound} == bound
        return fields, payload

    def set_hash(self, members: list[tuple[bytes, bytes]]) -> str:
        return f"{sum(int.from_bytes(mac(self.heads, b'member', *m), 'big') for m in members) % 2**256:x}"

    def digest(self, table: str) -> str:
        rows = self.db.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
        cells = [[cell.encode() if isinstance(cell, str) else cell for cell in row] for row in rows]
        return mac(self.heads, table.encode(), *(mac(self.heads, b"row", *row) for row in cells)).hex()

    def contents(self) -> dict[str, object]:
        head, _ = self.open("store-head", "store", self.head_token)
        found = self.db.execute("SELECT record, head FROM records").fetchall()
        assert head["records"] == self.set_hash(found)
        tables = {"grants": "grants", "counters": "counters", "slots": "key_slots"}
        assert {key: head[key] for key in tables} == {key: self.digest(table) for key, table in tables.items()}
        assert set(head) - set(tables) == {"changes", "records", "audit_sequence", "audit"}
        secrets = [self.secret(key, token) for key, token in found]
        for place, token in self.db.execute("SELECT place, token FROM counters"):
            assert set(self.open("counter", place.hex(), token)[0]) == {"start", "count", "before", "seconds"}
        return {
            "secrets": sorted((s for s in secrets if "value" in s), key=lambda s: (s["scope"], s["name"])),
            "deleted": sorted((s for s in secrets if "value" not in s), key=lambda s: (s["scope"], s["name"])),
            "grants": self.grants(),
            "events": self.events(head["audit_sequence"], head["audit"]),
        }

    def events(self, last: int, total: str) -> list[dict[str, Any]]:
        found = []
        rows = self.db.execute("SELECT sequence, refused, token FROM audit ORDER BY sequence").fetchall()
        assert total == self.set_hash([(str(sequence).encode(), token) for sequence, _, token in rows])
        assert last == (rows[-1][0] if rows else 0)
        for sequence, refused, token in rows:
            fields, payload = self.open("audit", str(sequence), token)
            assert (refused == 1, payload) == (fields["outcome"] != "done", b"")
            assert {"caller", "action", "project", "code", "first", "last", "rule"} < set(fields)
            told = {key: fields[key] for key in ("count", "outcome", "name")}
            found.append({"sequence": sequence, **told})
        return found

    def secret(self, key: bytes, token: bytes) -> dict[str, Any]:
        head, empty = self.open("record-head", key.hex(), token)
        assert (mac(self.index, b"record", head["scope"].encode(), head["name"].encode()), empty) == (key, b"")
        rows = self.db.execute("SELECT version, token FROM versions WHERE record = ? ORDER BY 1", (key,)).fetchall()
        assert head["history"] == self.set_hash([(f"{key.hex()}:{number}".encode(), token) for number, token in rows])
        assert [number for number, _ in rows] == list(range(1, head["version"] + 1))
        opened = [self.open("version", f"{key.hex()}:{number}", token) for number, token in rows]
        fields, value = opened[-1]
        assert (fields["revision"], fields["deleted"]) == (head["revision"], head["deleted"])
        if head["deleted"]:
            return {"scope": head["scope"], "name": head["name"]}
        stated = {key: head[key] for key in ("scope", "name", "origin", "access", "version", "entered_by")}
        return stated | {"value": value.decode()}

    def grants(self) -> list[dict[str, str]]:
        found = []
        for place, token in self.db.execute("SELECT place, token FROM grants"):
            fields, _ = self.open("grant", place.hex(), token)
            names = [fields[key] for key in ("project", "scope", "name")]
            assert place == mac(self.index, b"grant", *(name.encode() for name in names))
            assert fields.pop("created") == TIME
            found.append(fields)
        return sorted(found, key=lambda grant: (grant["project"], grant["scope"], grant["name"]))


@pytest.mark.parametrize("vector", named(GOOD))
def test_a_reader_written_from_the_format_alone_finds_the_same(vector: dict[str, Any], tmp_path: Path) -> None:
    path = shutil.copyfile(DIRECTORY / vector["file"], tmp_path / "secrets.db")
    reader = Reader(path, vector["master_key"])
    with closing(reader.db):
        assert reader.contents() == {key: vector[key] for key in ("secrets", "deleted", "grants", "events")}


CIPHER = Cipher(STORE_ID, DataKey(SECRET, 1))


def test_a_token_is_what_the_format_says() -> None:
    token = CIPHER.seal("version", "aa:1", {"revision": 1}, now=TIME, payload=b"the value")
    fernet = Fernet(urlsafe_b64encode(hkdf(STORE_ID, SECRET, "seal")))
    header = f'{{"generation":1,"kind":"version","place":"aa:1","revision":1,"store":"{STORE_ID}"}}\n'
    assert fernet.decrypt(token) == header.encode() + b"the value"
    assert fernet.extract_timestamp(token) == TIME


def test_a_wrapped_key_is_what_the_format_says() -> None:
    master_key = new_master_key()
    wrapped = wrap(master_key, DataKey(SECRET, 3), store_id=STORE_ID, slot_id="slot", slot_kind="file", now=TIME)
    header, _, payload = Fernet(master_key).decrypt(wrapped).partition(b"\n")
    expected = {"generation": 3, "kind": "data-key", "slot": "slot", "slot_kind": "file", "store": STORE_ID}
    assert header == json.dumps(expected, separators=(",", ":")).encode()
    assert payload == SECRET


def test_row_keys_digests_and_set_hashes_are_what_the_format_says() -> None:
    index, heads = (hkdf(STORE_ID, SECRET, label) for label in ("index", "heads"))
    assert CIPHER.index("record", "shared", "TOKEN") == mac(index, b"record", b"shared", b"TOKEN")
    rows = [(b"a", b"b"), (b"c", b"d")]
    expected = mac(heads, b"grants", *(mac(heads, b"row", *row) for row in rows))
    assert CIPHER.digest("grants", rows) == expected.hex()
    total = sum(int.from_bytes(mac(heads, b"member", *row), "big") for row in rows)
    assert CIPHER.set_add(CIPHER.set_add("0", *rows[0]), *rows[1]) == f"{total % 2**256:x}"
