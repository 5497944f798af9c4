"""Sealing and opening tokens: a token is bound to its context, and no key or value is shown."""

import json
import traceback
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from claude_secrets.keys.cipher import (
    KEY_BYTES,
    Cipher,
    DataKey,
    EnvelopeMismatch,
    TokenInvalid,
    new_master_key,
    unwrap,
    wrap,
)

STORE_ID = "00112233445566778899aabbccddeeff"
OTHER_STORE = "ffeeddccbbaa99887766554433221100"
SECRET = bytes(range(KEY_BYTES))
NOW = 1_800_000_000.0
CANARY = "canary-7f3a"


def cipher(store_id: str = STORE_ID, secret: bytes = SECRET, generation: int = 1) -> Cipher:
    return Cipher(store_id, DataKey(secret, generation))


def sealed(kind: str = "version", place: str = "aa:1", by: Cipher | None = None) -> bytes:
    return (by or cipher()).seal(kind, place, {"revision": 1}, now=NOW, payload=CANARY.encode())


# The context of a token


def test_a_token_opens_where_it_was_sealed() -> None:
    envelope = cipher().open("version", "aa:1", sealed())
    assert envelope.payload == CANARY.encode()
    assert envelope.number("revision") == 1


@pytest.mark.parametrize(
    ("kind", "place"),
    [("record-head", "aa:1"), ("version", "aa:2"), ("version", "ab:1"), ("", ""), ("aa:1", "version")],
)
def test_a_token_does_not_open_as_another_kind_or_in_another_place(kind: str, place: str) -> None:
    with pytest.raises(EnvelopeMismatch):
        cipher().open(kind, place, sealed())


def test_a_token_does_not_open_in_another_store_with_the_same_data_key() -> None:
    with pytest.raises(TokenInvalid):
        cipher(store_id=OTHER_STORE).open("version", "aa:1", sealed())


def test_a_token_names_its_store_even_for_one_who_has_the_sealing_key() -> None:
    moved = cipher(store_id=OTHER_STORE)
    moved._seal = cipher()._seal
    with pytest.raises(EnvelopeMismatch):
        moved.open("version", "aa:1", sealed())


@pytest.mark.parametrize("generation", [0, 2, 11])
def test_a_token_does_not_open_in_another_key_generation(generation: int) -> None:
    with pytest.raises(EnvelopeMismatch):
        cipher(generation=generation).open("version", "aa:1", sealed())


def test_a_token_does_not_open_with_another_data_key() -> None:
    with pytest.raises(TokenInvalid):
        cipher(secret=bytes(KEY_BYTES)).open("version", "aa:1", sealed())


def test_every_byte_of_a_token_counts() -> None:
    token = urlsafe_b64decode(sealed())
    for position in range(len(token)):
        changed = bytearray(token)
        changed[position] ^= 1
        with pytest.raises(TokenInvalid):
            cipher().open("version", "aa:1", urlsafe_b64encode(changed))


@pytest.mark.parametrize("length", [0, 1, 9, 56, -1])
def test_a_shortened_token_does_not_open(length: int) -> None:
    with pytest.raises(TokenInvalid):
        cipher().open("version", "aa:1", sealed()[:length])


@pytest.mark.parametrize("cell", [None, 1, 1.5, "text", b""], ids=["NULL", "integer", "real", "text", "empty"])
def test_a_cell_of_another_type_is_no_token(cell: bytes) -> None:
    with pytest.raises(TokenInvalid):
        cipher().open("version", "aa:1", cell)


def test_a_token_in_a_text_cell_is_no_token() -> None:
    with pytest.raises(TokenInvalid):
        cipher().open("version", "aa:1", sealed().decode())  # type: ignore[arg-type]  # SQLite may return this


@pytest.mark.parametrize("plaintext", [b"", b"{}", b"[]\n", b"null\n", b'{"kind":\n', b"\xff\n", b"\n"])
def test_an_authentic_token_without_an_envelope_is_a_mismatch(plaintext: bytes) -> None:
    token = cipher()._seal.encrypt_at_time(plaintext, int(NOW))
    with pytest.raises(EnvelopeMismatch):
        cipher().open("version", "aa:1", token)


def test_an_envelope_gives_each_field_in_its_own_type_only() -> None:
    fields = {"text": "x", "number": 7, "flag": True, "null": None}
    envelope = cipher().open("k", "p", cipher().seal("k", "p", fields, now=NOW))
    assert (envelope.text("text"), envelope.number("number"), envelope.flag("flag")) == ("x", 7, True)
    assert (envelope.optional_text("null"), envelope.optional_number("null")) == (None, None)
    assert (envelope.optional_text("text"), envelope.optional_number("number")) == ("x", 7)
    for read, wrong in [
        (envelope.text, "number"),
        (envelope.text, "null"),
        (envelope.number, "flag"),  # a truth value is not a number, although Python accepts it as one
        (envelope.number, "absent"),
        (envelope.flag, "number"),
        (envelope.optional_text, "number"),
        (envelope.optional_number, "text"),
    ]:
        with pytest.raises(EnvelopeMismatch):
            read(wrong)


@given(
    value=st.text(st.characters(codec="utf-8")),
    field=st.text(st.characters(codec="utf-8")),
    place=st.text(st.characters(codec="utf-8")),
)
def test_any_payload_and_any_field_come_back_exactly(value: str, field: str, place: str) -> None:
    token = cipher().seal("version", place, {"note": field}, now=NOW, payload=value.encode())
    envelope = cipher().open("version", place, token)
    assert envelope.payload.decode() == value
    assert envelope.text("note") == field


@given(payload=st.binary())
def test_any_bytes_come_back_exactly(payload: bytes) -> None:
    token = cipher().seal("version", "p", {}, now=NOW, payload=payload)
    assert cipher().open("version", "p", token).payload == payload


# No key or value is shown


def test_no_key_and_no_value_is_in_a_repr() -> None:
    key = DataKey(CANARY.encode().ljust(KEY_BYTES, b"."), 1)
    shown = [repr(key), str(key), f"{key!r:>90}", repr(Cipher(STORE_ID, key)), str(Cipher(STORE_ID, key))]
    envelope = cipher().open("version", "aa:1", sealed())
    shown += [repr(envelope), str(envelope), repr([envelope]), repr({"a": key})]
    for text in shown:
        assert CANARY not in text
        assert "bytes" not in text
    assert repr(key) == "DataKey(generation=1)"


def test_no_exception_carries_a_key_or_a_token() -> None:
    master_key = CANARY.encode() + b"=== no Fernet key"
    token = CANARY.encode() * 9
    for attempt in (
        lambda: wrap(master_key, DataKey(SECRET, 1), store_id=STORE_ID, slot_id="s", slot_kind="file", now=NOW),
        lambda: unwrap(master_key, sealed(), store_id=STORE_ID, slot_id="s", slot_kind="file"),
        lambda: cipher().open("version", "aa:1", token),
        lambda: cipher().open("other", "aa:1", sealed()),
    ):
        with pytest.raises((TokenInvalid, EnvelopeMismatch)) as caught:
            attempt()
        assert str(caught.value) == ""
        assert caught.value.__context__ is None or caught.value.__suppress_context__
        # A logged traceback shows source lines, types and messages, but no values.
        assert not any(CANARY in line for line in traceback.format_exception(caught.value))


def test_a_data_key_of_another_length_is_refused() -> None:
    for length in (0, KEY_BYTES - 1, KEY_BYTES + 1):
        with pytest.raises(ValueError, match="32 bytes"):
            DataKey(bytes(length), 1)


def test_generated_keys_differ() -> None:
    assert DataKey.generate().secret != DataKey.generate().secret
    assert DataKey.generate().generation == 1
    assert new_master_key() != new_master_key()


# Wrapping


def wrapped(master_key: bytes) -> bytes:
    return wrap(master_key, DataKey(SECRET, 3), store_id=STORE_ID, slot_id="slot", slot_kind="file", now=NOW)


def test_a_data_key_is_unwrapped_with_its_generation() -> None:
    master_key = new_master_key()
    data_key = unwrap(master_key, wrapped(master_key), store_id=STORE_ID, slot_id="slot", slot_kind="file")
    assert (data_key.secret, data_key.generation) == (SECRET, 3)


@pytest.mark.parametrize(
    ("store_id", "slot_id", "slot_kind"),
    [(OTHER_STORE, "slot", "file"), (STORE_ID, "other", "file"), (STORE_ID, "slot", "keyring")],
    ids=["another store", "another slot", "another kind"],
)
def test_a_wrapped_key_does_not_open_for_another_place(store_id: str, slot_id: str, slot_kind: str) -> None:
    master_key = new_master_key()
    with pytest.raises(EnvelopeMismatch):
        unwrap(master_key, wrapped(master_key), store_id=store_id, slot_id=slot_id, slot_kind=slot_kind)


def test_a_wrapped_key_does_not_open_with_another_or_a_malformed_master_key() -> None:
    for master_key in (new_master_key(), b"", b"short", b"\xff" * 44, CANARY.encode()):
        with pytest.raises(TokenInvalid):
            unwrap(master_key, wrapped(new_master_key()), store_id=STORE_ID, slot_id="slot", slot_kind="file")


def test_an_ordinary_token_is_no_wrapped_key() -> None:
    master_key = new_master_key()
    fields = {"store": STORE_ID, "slot": "slot", "slot_kind": "file", "generation": 1, "kind": "version"}
    for kind, payload in (("version", SECRET), ("data-key", SECRET[:-1]), ("data-key", SECRET + b"x")):
        header = json.dumps({**fields, "kind": kind}).encode()
        token = Fernet(master_key).encrypt(header + b"\n" + payload)
        with pytest.raises(EnvelopeMismatch):
            unwrap(master_key, token, store_id=STORE_ID, slot_id="slot", slot_kind="file")


# Row keys, digests, set hashes


def test_the_boundaries_between_parts_count() -> None:
    lists = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("a", "b", "c"), (), ("",), ("", "")]
    assert len({cipher().index("record", *parts) for parts in lists}) == len(lists)
    assert cipher().index("record", "a") != cipher().index("recorda")
    assert cipher().index("record", "a") != cipher().index("grant", "a")


@given(a=st.lists(st.text(max_size=4), max_size=4), b=st.lists(st.text(max_size=4), max_size=4))
def test_row_keys_are_equal_only_for_equal_parts(a: list[str], b: list[str]) -> None:
    assert (cipher().index("record", *a) == cipher().index("record", *b)) == (a == b)


def test_row_keys_differ_between_stores_and_data_keys() -> None:
    own = cipher().index("record", "shared", "TOKEN")
    assert own != cipher(store_id=OTHER_STORE).index("record", "shared", "TOKEN")
    assert own != cipher(secret=bytes(KEY_BYTES)).index("record", "shared", "TOKEN")
    assert own == cipher().index("record", "shared", "TOKEN")


def test_the_row_key_of_a_path_that_is_not_unicode_is_its_own() -> None:
    # POSIX paths are bytes; Python decodes invalid ones to lone surrogates.
    odd = [b"/srv/\xff".decode("utf-8", "surrogateescape"), b"/srv/\xfe".decode("utf-8", "surrogateescape")]
    assert len({cipher().index("grant", path, "shared", "TOKEN") for path in [*odd, "/srv/\N{CROSS MARK}"]}) == 3


ROWS = st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=8)), max_size=5)


@given(a=ROWS, b=ROWS)
def test_digests_are_equal_only_for_equal_rows_in_the_same_order(
    a: list[tuple[bytes, bytes]], b: list[tuple[bytes, bytes]]
) -> None:
    assert (cipher().digest("grants", a) == cipher().digest("grants", b)) == (a == b)


def test_a_digest_belongs_to_its_table_and_its_columns() -> None:
    assert cipher().digest("grants", ()) != cipher().digest("counters", ())
    assert cipher().digest("grants", [(b"ab", b"c")]) != cipher().digest("grants", [(b"a", b"bc")])
    assert cipher().digest("grants", [(b"a",), (b"b",)]) != cipher().digest("grants", [(b"a", b"b")])


def total(rows: list[tuple[bytes, bytes]], start: str = "0") -> str:
    for row in rows:
        start = cipher().set_add(start, *row)
    return start


@given(data=st.data(), rows=ROWS)
def test_a_set_hash_does_not_depend_on_the_order(data: st.DataObject, rows: list[tuple[bytes, bytes]]) -> None:
    assert total(rows) == total(data.draw(st.permutations(rows)))


@given(rows=ROWS, gone=ROWS)
def test_taking_rows_out_of_a_set_hash_undoes_adding_them(
    rows: list[tuple[bytes, bytes]], gone: list[tuple[bytes, bytes]]
) -> None:
    hash_ = total(gone, total(rows))
    for row in gone:
        hash_ = cipher().set_remove(hash_, *row)
    assert hash_ == total(rows)
    for row in rows:
        hash_ = cipher().set_remove(hash_, *row)
    assert hash_ == "0"


@given(a=ROWS, b=ROWS)
def test_set_hashes_are_equal_only_for_equal_multisets(
    a: list[tuple[bytes, bytes]], b: list[tuple[bytes, bytes]]
) -> None:
    assert (total(a) == total(b)) == (sorted(a) == sorted(b))


def test_a_set_hash_needs_the_data_key_and_keeps_key_and_token_apart() -> None:
    assert cipher().set_add("0", b"a", b"b") != cipher(secret=bytes(KEY_BYTES)).set_add("0", b"a", b"b")
    assert cipher().set_add("0", b"ab", b"c") != cipher().set_add("0", b"a", b"bc")
