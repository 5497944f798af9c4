"""The cipher of a store: derive keys, seal and open tokens, wrap the data key. See docs/reference/store-format.md.

Always: this module uses no files and no clock; the caller passes the time. No `repr` and no exception contains a key or
a value.
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


class TokenInvalid(Exception):  # noqa: N818  named after cryptography's InvalidToken
    """The token was sealed with a different key, or the token was changed after sealing."""


class EnvelopeMismatch(Exception):  # noqa: N818  named like TokenInvalid
    """The token is authentic but was sealed for a different location, kind, store or key generation."""


class DataKey:
    """A store's 32-byte data key and its generation number, which increases by one when the key is replaced."""

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
        """Make a new random data key, with the next generation number, that will replace this key."""
        return DataKey(os.urandom(KEY_BYTES), self.generation + 1)

    def __repr__(self) -> str:
        return f"DataKey(generation={self.generation})"


class StoreIdentity(NamedTuple):
    """A store's id and its data key's generation. A key slot must match both."""

    store_id: str
    generation: int


class Envelope:
    """The content of an opened token: its fields and its payload (a secret's value, or empty)."""

    __slots__ = ("fields", "payload")

    def __init__(self, fields: Mapping[str, object], payload: bytes) -> None:
        self.fields = fields
        self.payload = payload

    def __repr__(self) -> str:
        return "Envelope(...)"

    def text(self, key: str) -> str:
        """Return the text in the field `key`. Raises `EnvelopeMismatch` if the field is not text."""
        return _typed(self.fields.get(key), str)

    def optional_text(self, key: str) -> str | None:
        """Return the text in the field `key`, or None if the field is null. Raises `EnvelopeMismatch` otherwise."""
        return None if self.fields.get(key) is None else self.text(key)

    def number(self, key: str) -> int:
        """Return the integer in the field `key`. Raises `EnvelopeMismatch` if the field is not an integer."""
        return _typed(self.fields.get(key), int)

    def optional_number(self, key: str) -> int | None:
        """Return the integer in the field `key`, or None if the field is null. Raises `EnvelopeMismatch` otherwise."""
        return None if self.fields.get(key) is None else self.number(key)

    def flag(self, key: str) -> bool:
        """Return the boolean in the field `key`. Raises `EnvelopeMismatch` if the field is not a boolean."""
        return _typed(self.fields.get(key), bool)


def _typed(value: object, kind: type[_T]) -> _T:
    if type(value) is not kind:
        raise EnvelopeMismatch
    return value


class Cipher:
    """The operations with one store's data key: seal, open, index, digest.

    HKDF-SHA256 (RFC 5869) derives a separate key for each use from the data key. The salt is the store id, and the info
    is a label for the use. Tokens are Fernet tokens (https://github.com/fernet/spec), whose HMAC authenticates the
    whole envelope.
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
        """The id of this cipher's store, and the generation of the store's data key."""
        return StoreIdentity(self.store_id, self.generation)

    def seal(self, kind: str, place: str, fields: Mapping[str, object], *, now: float, payload: bytes = b"") -> bytes:
        """Seal `fields` and `payload` into a token for one location in the store.

        `kind` is the kind of token. `place` is the token's location in the store, for example a row's key in
        hexadecimal. Fernet has no associated data, so the envelope itself contains the kind, the place, the store id
        and the key generation. `now` is the time in seconds since 1970; Fernet does not encrypt the time.
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
            TokenInvalid: the token was sealed with a different key, or the token was changed.
            EnvelopeMismatch: the token is authentic but was sealed for a different kind, place, store or generation.
        """
        envelope = _decode(_decrypt(self._seal, token))
        expected = {"store": self.store_id, "generation": self.generation, "kind": kind, "place": place}
        if any(envelope.fields.get(key) != value for key, value in expected.items()):
            raise EnvelopeMismatch
        return envelope

    def index(self, kind: str, *parts: str) -> bytes:
        """Return a row's 32-byte key, a MAC of `kind` and `parts`. The store's file therefore does not reveal names."""
        # A path that is not Unicode (POSIX allows it) is text with lone surrogates.
        return _mac(self._index, kind, [part.encode("utf-8", "surrogatepass") for part in parts])

    def digest(self, kind: str, rows: Iterable[tuple[bytes, ...]]) -> str:
        """Return a MAC over whole rows in the given order, in hexadecimal.

        The store's head contains this MAC for each small table.
        """
        return _mac(self._heads, kind, [_mac(self._heads, "row", list(row)) for row in rows]).hex()

    def set_add(self, total: str, key: bytes, token: bytes) -> str:
        """Add one row to a set hash and return the new hash in hexadecimal.

        A set hash is the sum of the rows' MACs modulo 2^256; the set hash of no rows is "0". The order of the rows does
        not matter, and a row can be removed later. Adding or removing a row needs only one MAC, so a head can
        authenticate a large table cheaply. The method is MSet-Add-Hash of Clarke et al., "Incremental Multiset Hash
        Functions" (2003). A set hash is stored only sealed.
        """
        return self.set_add_all(total, [(key, token)])

    def set_add_all(self, total: str, rows: Iterable[tuple[bytes, ...]]) -> str:
        """Add several rows to a set hash and return the new hash."""
        return self._set_sum(total, rows, 1)

    def set_remove(self, total: str, key: bytes, token: bytes) -> str:
        """Remove one row from a set hash and return the new hash."""
        return self._set_sum(total, [(key, token)], -1)

    def _set_sum(self, total: str, rows: Iterable[tuple[bytes, ...]], sign: int) -> str:
        macs = (int.from_bytes(_mac(self._heads, "member", row), "big") for row in rows)
        return f"{(int(total, 16) + sign * sum(macs)) % _SET_MODULUS:x}"


def new_master_key() -> bytes:
    """Make a master key: a Fernet key in its usual text form (44 bytes of base64url)."""
    return Fernet.generate_key()


def stretched(passphrase: bytes, *, salt: bytes, iterations: int, lanes: int, memory_kib: int) -> bytes:
    """Derive a master key from a passphrase with Argon2id (RFC 9106). The key has its usual text form."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    kdf = Argon2id(salt=salt, length=KEY_BYTES, iterations=iterations, lanes=lanes, memory_cost=memory_kib)
    return _fernet_key(kdf.derive(passphrase))


def open_gcm(key: bytes, *, iv: bytes, tag: bytes, ciphertext: bytes) -> bytes:
    """Decrypt another program's ciphertext: AES-256-GCM (NIST SP 800-38D) without associated data.

    Raises:
        TokenInvalid: the key is wrong, the data was changed, or the key, IV or tag has an invalid length.
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
        TokenInvalid: the master key is wrong or is not a Fernet key, or the slot was changed.
        EnvelopeMismatch: the wrapped key belongs to another store or slot.
    """
    envelope = _decode(_decrypt(_fernet(master_key), wrapped))
    expected = {"store": store_id, "slot": slot_id, "slot_kind": slot_kind, "kind": "data-key"}
    if any(envelope.fields.get(key) != value for key, value in expected.items()) or len(envelope.payload) != KEY_BYTES:
        raise EnvelopeMismatch
    return DataKey(envelope.payload, envelope.number("generation"))


def sealed_at(token: bytes) -> int:
    """Return a token's time in seconds since 1970, or 0 for malformed input. The time is not verified."""
    with suppress(ValueError):
        return int.from_bytes(urlsafe_b64decode(token[:12])[1:9], "big")
    return 0


def _fernet(master_key: bytes) -> Fernet:
    try:
        return Fernet(master_key)
    except ValueError:
        # From None: the exception's context would contain the malformed key.
        raise TokenInvalid from None


def _decrypt(fernet: Fernet, token: object) -> bytes:
    if not isinstance(token, bytes):  # someone changed the type of the database value
        raise TokenInvalid
    try:
        return fernet.decrypt(token)
    except InvalidToken:
        raise TokenInvalid from None


def _encode(header: Mapping[str, object]) -> bytes:
    return _ENCODER.encode(header).encode("ascii")


# Keys are sorted and spaces omitted, so equal fields always give equal bytes. JSON escapes every newline, so the first
# newline ends the header.
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _decode(plaintext: bytes) -> Envelope:
    header, separator, payload = plaintext.partition(b"\n")
    try:
        fields = json.loads(header.decode("utf-8"))  # json.loads guesses the encoding of bytes
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
    """Return the HMAC-SHA256 of `kind` and `parts`. Each has a length prefix, so different lists cannot collide."""
    framed = [len(part).to_bytes(8, "big") + part for part in (kind.encode("ascii"), *parts)]
    return hmac.digest(key, b"".join(framed), "sha256")
