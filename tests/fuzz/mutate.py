"""Small random changes of inputs. The same seed gives the same changes, so a run can be repeated."""

import random
from collections.abc import Sequence
from typing import Final

_PUNCTUATION: Final = b"\"'\\{}[]:-*&!|?%"
_BYTES: Final = [b"\0", b"\n", b"\r\n", b"\xff", b"\xed\xa0\x80", *(bytes([one]) for one in _PUNCTUATION)]
_LARGEST: Final = 1 << 16


def mutations(seeds: Sequence[bytes], count: int, seed: int) -> list[bytes]:
    """Return `count` inputs: each is a random one of `seeds` with one to six changes."""
    chosen = random.Random(seed)
    return [_changed(bytearray(chosen.choice(seeds)), seeds, chosen) for _ in range(count)]


def _changed(data: bytearray, seeds: Sequence[bytes], chosen: random.Random) -> bytes:
    for _ in range(chosen.randint(1, 6)):
        at, end = sorted(chosen.randint(0, len(data)) for _ in range(2))
        end = min(end, at + 200)
        match chosen.randrange(6):
            case 0:
                data[at : at + 1] = bytes([chosen.randrange(256)])
            case 1:
                data[at:at] = chosen.choice(_BYTES) * chosen.choice([1, 1, 1, 2, 50])
            case 2:
                del data[at:end]
            case 3:
                data[at:at] = data[at:end] * chosen.choice([1, 2, 20])
            case 4:
                other = chosen.choice(seeds)
                start = chosen.randint(0, len(other))
                data[at:end] = other[start : start + chosen.randint(0, 200)]
            case _:
                data[at:at] = chosen.choice(data.split() or [b"1"])
    return bytes(data[:_LARGEST]) if data[:6] != b"SQLite" else bytes(data)
