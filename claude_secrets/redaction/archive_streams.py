"""Decompresses a file of bzip2, xz or lzma as one stream of bytes.

Always: data after the first stream is read or raises an error. Python's own file classes may drop it.
"""

import io
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias

from claude_secrets.redaction.archive_kinds import ArchiveKind

if TYPE_CHECKING:
    from bz2 import BZ2Decompressor
    from lzma import LZMADecompressor

    _Decompressor: TypeAlias = BZ2Decompressor | LZMADecompressor

_PIECE: Final = 1 << 16


class Streams(io.RawIOBase):
    """All streams in a file, one after another. Zeros between them and at the end are padding.

    Damaged data raises the decompressor's own error, and truncated data raises `EOFError`.
    """

    def __init__(self, kind: ArchiveKind, file: IO[bytes]) -> None:
        self._kind = kind
        self._file = file
        self._stream: _Decompressor | None = _new(kind)
        self._rest = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer at least in part and return the number of bytes; 0 at the end."""
        view = memoryview(buffer).cast("B")
        while True:
            if self._stream is None and not self._has_next():
                return 0
            assert self._stream is not None  # noqa: S101  there is a next one
            data, self._rest = self._rest, b""
            if not data and self._stream.needs_input and not (data := self._file.read(_PIECE)):
                raise EOFError
            said = self._stream.decompress(data, len(view))
            if self._stream.eof:
                self._rest, self._stream = self._stream.unused_data, None
            if said:
                view[: len(said)] = said
                return len(said)

    def _has_next(self) -> bool:
        """Begin with the next stream, if there is one. Raises `ValueError` if data follows an .lzma stream."""
        while not (rest := self._rest.lstrip(b"\0")):
            self._rest = self._file.read(_PIECE)
            if not self._rest:
                return False
        if self._kind is ArchiveKind.LZMA:  # a file has only one
            raise ValueError
        self._rest, self._stream = rest, _new(self._kind)
        return True


def _new(kind: ArchiveKind) -> "_Decompressor":
    if kind is ArchiveKind.BZIP2:
        import bz2

        return bz2.BZ2Decompressor()
    import lzma

    return lzma.LZMADecompressor(lzma.FORMAT_ALONE if kind is ArchiveKind.LZMA else lzma.FORMAT_XZ)
