"""Decompresses a bzip2, xz or lzma file into one stream of bytes.

Always: data after the first compressed stream is decompressed or raises an error. Python's own file classes may ignore
data after the first stream.
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
    """The decompressed content of all compressed streams in a file, one after another.

    Zero bytes between the streams and after the last stream are skipped as padding. Damaged data raises the
    decompressor's own error, and truncated data raises `EOFError`.
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
        """Read at least one byte into `buffer`, and return the number of bytes; at the end, return 0."""
        view = memoryview(buffer).cast("B")
        while True:
            if self._stream is None and not self._has_next():
                return 0
            assert self._stream is not None  # noqa: S101  `_has_next` has begun it
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
        """Begin the next compressed stream; return False if the file contains no other stream.

        Raises `ValueError` if data follows an .lzma stream.
        """
        while not (rest := self._rest.lstrip(b"\0")):
            self._rest = self._file.read(_PIECE)
            if not self._rest:
                return False
        if self._kind is ArchiveKind.LZMA:  # an .lzma file contains only one stream
            raise ValueError
        self._rest, self._stream = rest, _new(self._kind)
        return True


def _new(kind: ArchiveKind) -> "_Decompressor":
    if kind is ArchiveKind.BZIP2:
        import bz2

        return bz2.BZ2Decompressor()
    import lzma

    return lzma.LZMADecompressor(lzma.FORMAT_ALONE if kind is ArchiveKind.LZMA else lzma.FORMAT_XZ)
