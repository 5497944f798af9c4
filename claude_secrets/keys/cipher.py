"""Sealing and opening: the data key, the keys derived from it, envelopes, wrapping. store-format.md specifies each.

Always: pure (no files, no clock: times come in as arguments), no key or value in a `repr` or an exception.
"""

import hmac
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple, TypeVar

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_T = TypeVar("_T")

KEY_BYTES: Final = 32
_SET_MODULUS: Final = 1 << 256


class TokenInvalid(Exception):  # noqa: N818  the field's word, after cryptography's InvalidToken
    """The token was not sealed with this key, or was changed since."""


class EnvelopeMismatch(Exception):  # noqa: N818  says what was found, as TokenInvalid does
    """The token is authentic but belongs to another place: it was moved, copied or is out of date."""


class DataKey:
    """The key that seals a store (32 bytes) and its generation, which grows when it is replaced."""

    __slots__ = ("generation", "secret")

    def __init__(self, secret: bytes, generation: int) -> None:
        if len(secret) != KEY_BYTES:
            raise ValueError("a data key has 32 bytes")
        self.secret = secret
        self.generation = generation

    @classmethod
    def generate(cls) -> "DataKey":
        """Make the first data key of a new store from the operating system's random source."""
        return cls(os.urandom(KEY_BYTES), 1)

    def successor(self) -> "DataKey":
        """Make the data key that replaces this one, of the next generation."""
        return DataKey(os.urandom(KEY_BYTES), self.generation + 1)

    def __repr__(self) -> str:
        return f"DataKey(generation={self.generation})"


class StoreIdentity(NamedTuple):
    """Which store, and the generation of the data key that seals it: what a key slot has to fit."""

    store_id: str
    generation: int


class Envelope:
    """An opened token: its fields and its payload (a secret's value, or empty)."""

    __slots__ = ("fields", "payload")

    def __init__(self, fields: Mapping[str, object], payload: bytes) -> None:
        self.fields = fields
        self.payload = payload

    def __repr__(self) -> str:
        return "Envelope(...)"

    def text(self, key: str) -> str:
        """The text in field `key`. Raises `EnvelopeMismatch` if it is anything else."""
        return _typed(self.fields.get(key), str)

    def optional_text(self, key: str) -> str | None:
        """The text in field `key`, or None where it is null. Raises `EnvelopeMismatch` if it is anything else."""
        return None if self.fields.get(key) is None else self.text(key)

    def number(self, key: str) -> int:
        """The whole number in field `key`. Raises `EnvelopeMismatch` if it is anything else."""
        return _typed(self.fields.get(key), int)

    def optional_number(self, key: str) -> int | None:
        """The whole number in field `key`, or None where it is null. Raises `EnvelopeMismatch` otherwise."""
        return None if self.fields.get(key) is None else self.number(key)

    def flag(self, key: str) -> bool:
        """The truth value in field `key`. Raises `EnvelopeMismatch` if it is anything else."""
        return _typed(self.fields.get(key), bool)


def _typed(value: object, kind: type[_T]) -> _T:
    if type(value) is not kind:
        raise EnvelopeMismatch
    return value


class Cipher:
    """Everything that is done with one store's data key: seal, open, index, digest.

    The keys are derived by HKDF-SHA256 (RFC 5869) with the store id as salt and one label for each use; tokens
    are Fernet (https://github.com/fernet/spec), whose HMAC authenticates the whole envelope.
    """

    def __init__(self, store_id: str, data_key: DataKey) -> None:
        self.store_id = store_id
        self.generation = data_key.generation
        self._seal = Fernet(_fernet_key(_derive(store_id, data_key.secret, "seal")))
        self._index = _derive(store_id, data_key.secret, "index")
        self._heads = _derive(store_id, data_key.secret, "heads")

    def __repr__(self) -> str:
        return f"Cipher(generation={self.generation})"

    @property
    def identity(self) -> StoreIdentity:
        """The store that it seals, and the generation of its key."""
        return StoreIdentity(self.store_id, self.generation)

    def seal(self, kind: str, place: str, fields: Mapping[str, object], *, now: float, payload: bytes = b"") -> bytes:
        """Seal `fields` and `payload` for one place in the store.

        `kind` says what the token is, `place` where it stands (a row's key in hexadecimal); both, the store id and
        the key generation are repeated inside, for Fernet has no associated data. `now`: seconds since 1970, which
        Fernet shows in the clear.
        """
        header = {
            "store": self.store_id,
            "generation": self.generation,
            "kind": kind,
            "place": place,
            **fields,
        }
        return self._seal.encrypt_at_time(_encode(header) + b"\n" + payload, int(now))

    def open(self, kind: str, place: str, token: bytes) -> Envelope:
        """Open a token and check that it was sealed as `kind` for `place` in this store and key generation.

        Raises:
            TokenInvalid: another key, or changed bytes.
            EnvelopeMismatch: authentic, but sealed for another place.
        """
        envelope = _decode(_decrypt(self._seal, token))
        expected = {"store": self.store_id, "generation": self.generation, "kind": kind, "place": place}
        if any(envelope.fields.get(key) != value for key, value in expected.items()):
            raise EnvelopeMismatch
        return envelope

    def index(self, kind: str, *parts: str) -> bytes:
        """The 32-byte key under which a row is found: a MAC, so that the names cannot be read from the file."""
        # A path that is not Unicode (POSIX allows it) comes as text with lone surrogates.
        return _mac(self._index, kind, [part.encode("utf-8", "surrogatepass") for part in parts])

    def digest(self, kind: str, rows: Iterable[tuple[bytes, ...]]) -> str:
        """A MAC over whole rows in the order given, in hexadecimal: what a head keeps of a small table."""
        return _mac(self._heads, kind, [_mac(self._heads, "row", list(row)) for row in rows]).hex()

    def set_add(self, total: str, key: bytes, token: bytes) -> str:
        """Add one row to a set hash (the sum of the rows' MACs modulo 2^256; empty = "0"), in hexadecimal.

        The order of adding does not matter and a row can be taken out again, so a head can vouch for a large table
        and be renewed at the cost of one row. After Clarke et al., "Incremental Multiset Hash Functions" (2003),
        MSet-Add-Hash; the sum itself is only ever kept sealed.
        """
        return self.set_add_all(total, [(key, token)])

    def set_add_all(self, total: str, rows: Iterable[tuple[bytes, ...]]) -> str:
        """Add many rows at once."""
        return self._set_sum(total, rows, 1)

    def set_remove(self, total: str, key: bytes, token: bytes) -> str:
        """Take one row out of a set hash."""
        return self._set_sum(total, [(key, token)], -1)

    def _set_sum(self, total: str, rows: Iterable[tuple[bytes, ...]], sign: int) -> str:
        macs = (int.from_bytes(_mac(self._heads, "member", row), "big") for row in rows)
        return f"{(int(total, 16) + sign * sum(macs)) % _SET_MODULUS:x}"


def new_master_key() -> bytes:
    """A new master key: a Fernet key in its usual text form (44 bytes of base64url)."""
    return Fernet.generate_key()


def stretched(passphrase: bytes, *, salt: bytes, iterations: int, lanes: int, memory_kib: int) -> bytes:
    """The master key (as `new_master_key` gives one) that Argon2id (RFC 9106) makes of a passphrase."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    kdf = Argon2id(salt=salt, length=KEY_BYTES, iterations=iterations, lanes=lanes, memory_cost=memory_kib)
    return _fernet_key(kdf.derive(passphrase))


def open_gcm(key: bytes, *, iv: bytes, tag: bytes, ciphertext: bytes) -> bytes:
    """What another program sealed with AES-256-GCM (NIST SP 800-38D) and no associated data.

    Raises:
        TokenInvalid: another key, changed bytes, or not that many bytes as such a key, IV or tag has.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(key) != KEY_BYTES or len(tag) != 16 or not 8 <= len(iv) <= 128:
        raise TokenInvalid
    try:
        return AESGCM(key).decrypt(iv, ciphertext + tag, None)
    except InvalidTag:
        raise TokenInvalid from None


def wrap(master_key: bytes, data_key: DataKey, *, store_id: str, slot_id: str, slot_kind: str, now: float) -> bytes:
    """Wrap the data key for one key slot.

    Raises:
        TokenInvalid: `master_key` is not a Fernet key.
    """
    header = {
        "store": store_id,
        "slot": slot_id,
        "slot_kind": slot_kind,
        "generation": data_key.generation,
        "kind": "data-key",
    }
    return _fernet(master_key).encrypt_at_time(_encode(header) + b"\n" + data_key.secret, int(now))


def unwrap(master_key: bytes, wrapped: bytes, *, store_id: str, slot_id: str, slot_kind: str) -> DataKey:
    """Unwrap the data key of one key slot.

    Raises:
        TokenInvalid: the master key is another one or no Fernet key, or the slot was changed.
        EnvelopeMismatch: the wrapped key belongs to another store or slot.
    """
    envelope = _decode(_decrypt(_fernet(master_key), wrapped))
    expected = {"store": store_id, "slot": slot_id, "slot_kind": slot_kind, "kind": "data-key"}
    if any(envelope.fields.get(key) != value for key, value in expected.items()) or len(envelope.payload) != KEY_BYTES:
        raise EnvelopeMismatch
    return DataKey(envelope.payload, envelope.number("generation"))


def sealed_at(token: bytes) -> int:
    """When a token was sealed (seconds since 1970), as it says without any key; 0 where it is no token."""
    with suppress(ValueError):
        return int.from_bytes(urlsafe_b64decode(token[:12])[1:9], "big")
    return 0


def _fernet(master_key: bytes) -> Fernet:
    try:
        return Fernet(master_key)
    except ValueError:
        # From None: the exception's context would hold the malformed key.
        raise TokenInvalid from None


def _decrypt(fernet: Fernet, token: object) -> bytes:
    if not isinstance(token, bytes):  # a cell that someone gave another type
        raise TokenInvalid
    try:
        return fernet.decrypt(token)
    except InvalidToken:
        raise TokenInvalid from None


def _encode(header: Mapping[str, object]) -> bytes:
    return _ENCODER.encode(header).encode("ascii")


# Sorted and without spaces: the same fields always give the same bytes. JSON escapes every newline.
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _decode(plaintext: bytes) -> Envelope:
    header, separator, payload = plaintext.partition(b"\n")
    try:
        fields = json.loads(header.decode("utf-8"))  # it would guess the encoding first
    except ValueError:
        raise EnvelopeMismatch from None
    if not separator or not isinstance(fields, dict):
        raise EnvelopeMismatch
    return Envelope(fields, payload)


def _derive(store_id: str, secret: bytes, label: str) -> bytes:
    info = f"claude-secrets 1 {label}".encode("ascii")
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=store_id.encode("ascii"), info=info).derive(secret)


def _fernet_key(secret: bytes) -> bytes:
    return urlsafe_b64encode(secret)


def _mac(key: bytes, kind: str, parts: Iterable[bytes]) -> bytes:
    """HMAC-SHA256 over the kind and the parts, each with its length before it, so that no two lists look alike."""
    framed = [len(part).to_bytes(8, "big") + part for part in (kind.encode("ascii"), *parts)]
    return hmac.digest(key, b"".join(framed), "sha256")
