"""Check that each git pack has an intact index, because git skips the objects of a pack without an intact index.

Always: the module reads only the indexes, in pieces.
"""

import hashlib
import os
from pathlib import Path
from typing import Final

_PIECE: Final = 1 << 20
_HASHES: Final = ("sha1", "sha256")


def are_whole(objects: Path) -> bool:
    """Whether an object directory can be listed, and each of its packs has an intact index."""
    try:
        files = [*(objects / "pack").iterdir()] if objects / "pack" in objects.iterdir() else []
    except OSError:
        return False
    packs = [file for file in files if file.suffix == ".pack"]
    return all(_is_sound(pack.with_suffix(".idx")) or not os.path.lexists(pack) for pack in packs)  # may be gone


def _is_sound(index: Path) -> bool:
    """Whether an index ends with the hash of all bytes before the hash. git itself does not check the hash."""
    try:
        return any(_ends_with_hash(index, name) for name in _HASHES)
    except OSError:
        return False


def _ends_with_hash(index: Path, name: str) -> bool:
    hashed = hashlib.new(name, usedforsecurity=False)
    with index.open("rb") as file:
        left = os.fstat(file.fileno()).st_size - hashed.digest_size
        while left > 0 and (piece := file.read(min(left, _PIECE))):
            hashed.update(piece)
            left -= len(piece)
        return left == 0 and file.read() == hashed.digest()
