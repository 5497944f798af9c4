"""Reads the members of an archive as streams.

Always: the module only reads the given file and writes nothing. A `Budget` limits the number and the total size of the
members. Every error that a damaged or hostile archive causes in its parser becomes a `ClosedError` or `ExhaustedError`.
"""

import importlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, NamedTuple, Protocol, cast

from claude_secrets.redaction.archive_kinds import TAIL, ZIP_END, ArchiveKind, is_tar
from claude_secrets.redaction.archive_streams import Streams
from claude_secrets.redaction.gap_reasons import ClosedError, Reason

if TYPE_CHECKING:
    from zipfile import ZipFile

_PIECE: Final = 1 << 20
_BLOCK: Final = 512
_MEMBERS: Final = 100_000
_MEMBER: Final = 1 << 30
_LEAST: Final = 1 << 26
_MOST: Final = 1 << 32
_RATIO: Final = 100
_DIRECTORY: Final = 1 << 25
"""The maximum size of a zip's directory in bytes. Each entry of the directory becomes an object in memory."""

_HEADERS: Final = 1 << 22
"""The maximum number of bytes before a tar member. The parser keeps long names and similar data in memory."""

_ZIP_ENTRY: Final = b"PK\x01\x02"
_ZIP64_END: Final = b"PK\x06\x06"
_ZIP_LOCAL: Final = re.compile(
    rb"PK\x03\x04[\0-\x3f][\0-\x0b]..[\0-\x63]\0.{16}.[\0-\x0f]..",  # versions, a method, the length of a name
    re.DOTALL,
)
_ZIP_LOCAL_SIZE: Final = 30


class ExhaustedError(Exception):
    """The archives in one content exceeded their shared budget."""


class Budget:
    """Limits the output of all archives in one content of `size` bytes, and so the time for a decompression bomb."""

    def __init__(self, size: int) -> None:
        self._bytes = min(_MOST, max(_LEAST, _RATIO * size))
        self._members = _MEMBERS

    def take(self, size: int) -> None:
        """Subtract `size` bytes of output from the budget. Raises `ExhaustedError` if the budget is exceeded."""
        self._bytes -= size
        if self._bytes < 0:
            raise ExhaustedError

    def take_member(self) -> None:
        """Subtract one member from the budget. Raises `ExhaustedError` if the budget is exceeded."""
        self._members -= 1
        if self._members < 0:
            raise ExhaustedError


class Member(NamedTuple):
    """A member of an archive.

    `path` is empty for the content of a compressed file that is not a tar. `notes` are the archive's other texts about
    the member, such as its owner's name. Read all `pieces` of a member before you request the next member.
    """

    path: str
    notes: tuple[str, ...]
    pieces: Iterator[bytes]


class _Reader(Protocol):
    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; at the end, return no bytes."""


def members(kind: ArchiveKind, file: IO[bytes], budget: Budget) -> Iterator[Member]:
    """Return the members of an archive. `file` must be seekable.

    Raises:
        ClosedError: the archive cannot be read to its end, or some members were left out.
        ExhaustedError: the archive exceeds the budget.
    """
    if kind in (ArchiveKind.ZIP, ArchiveKind.MAYBE_ZIP):
        return _of_zip(file, budget, sure=kind is ArchiveKind.ZIP)
    if kind is ArchiveKind.TAR:
        return _of_tar(_Ahead(file), budget)
    return _of_compressed(kind, file, budget)


@contextmanager
def _parsing() -> Iterator[None]:
    """Turn a parser's error into `ClosedError`: UNSUPPORTED if the parser cannot read the format, otherwise DAMAGED."""
    try:
        yield
    except (ClosedError, ExhaustedError):
        raise
    except NotImplementedError:  # zipfile raises it for a compression method or a version that it cannot read
        raise ClosedError(Reason.UNSUPPORTED) from None
    except Exception:  # noqa: BLE001  parsers of the standard library raise anything for hostile input
        raise ClosedError(Reason.DAMAGED) from None


def _pieces(stream: _Reader, budget: Budget) -> Iterator[bytes]:
    taken = 0
    while True:
        with _parsing():
            piece = stream.read(_PIECE)
        if not piece:
            return
        budget.take(len(piece))
        taken += len(piece)
        if taken > _MEMBER:
            raise ClosedError(Reason.TOO_LARGE)
        yield piece


def _of_zip(file: IO[bytes], budget: Budget, *, sure: bool) -> Iterator[Member]:
    import zipfile

    with _parsing():
        if not _check_directory(file, sure=sure):
            return
        archive = zipfile.ZipFile(file)
    left_out: Reason | None = None
    for info in archive.infolist():
        budget.take_member()
        if info.flag_bits & 1:
            left_out = Reason.ENCRYPTED
            continue
        try:
            with _parsing():
                stream = archive.open(info)
        except ClosedError as closed:
            left_out = closed.why
        else:
            yield Member(info.filename, (), _pieces(stream, budget))
    with _parsing():
        if left_out is None and _has_others(file, archive):
            left_out = Reason.DAMAGED
    if left_out is not None:
        raise ClosedError(left_out)


def _check_directory(file: IO[bytes], *, sure: bool) -> bool:
    """Whether a file contains a zip directory. Raises `ClosedError` if the directory is damaged or too large."""
    begin = max(0, file.seek(0, io.SEEK_END) - TAIL)
    file.seek(begin)
    tail = file.read(TAIL)
    end, end64 = tail.rfind(ZIP_END), tail.rfind(_ZIP64_END)
    if end < 0:
        raise ClosedError(Reason.DAMAGED)
    size = tail[end64 + 40 : end64 + 48] if end64 >= 0 else tail[end + 12 : end + 16]
    length, end = int.from_bytes(size, "little"), end64 if end64 >= 0 else end
    file.seek(max(0, begin + end - length))
    if not sure and file.read(4) != _ZIP_ENTRY:
        return False
    if length > _DIRECTORY:
        raise ClosedError(Reason.TOO_LARGE)
    return True


def _has_others(file: IO[bytes], archive: "ZipFile") -> bool:
    """Whether a zip file contains entries that its directory does not list, for example another zip before this one.

    The search covers the bytes before, between and after the listed entries. These bytes may also be a program or
    signatures, which are not entries.
    """
    end = 0
    for begin, size in sorted((info.header_offset, info.compress_size) for info in archive.infolist()):
        if _has_entry(file, end, begin):
            return True
        file.seek(begin + _ZIP_LOCAL_SIZE - 4)
        lengths = file.read(4)
        names = int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
        end = max(end, begin + _ZIP_LOCAL_SIZE + names + size)
    return _has_entry(file, end, file.seek(0, io.SEEK_END))


def _has_entry(file: IO[bytes], begin: int, end: int) -> bool:
    """Whether a zip entry begins between the offsets `begin` and `end`."""
    while end - begin >= _ZIP_LOCAL_SIZE:
        file.seek(begin)
        piece = file.read(min(_PIECE, end - begin))
        if _ZIP_LOCAL.search(piece) or len(piece) < _ZIP_LOCAL_SIZE:  # or the file was truncated just now
            return True
        begin += len(piece) - _ZIP_LOCAL_SIZE + 1
    return False


class _Ahead:
    """A stream whose first bytes (`head`) are known before they are read.

    `room` is how many more bytes may be read; None means no limit.
    """

    def __init__(self, stream: _Reader) -> None:
        self._stream = stream
        with _parsing():
            self.head = self._rest = stream.read(_BLOCK)
        self.room: int | None = None

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes. Raises `ClosedError` if the bytes exceed `room`."""
        piece, self._rest = self._rest[:size], self._rest[size:]
        piece = piece or self._stream.read(size)
        if self.room is not None:
            self.room -= len(piece)
            if self.room < 0:
                raise ClosedError(Reason.TOO_LARGE)
        return piece


def _of_tar(stream: _Ahead, budget: Budget) -> Iterator[Member]:
    import tarfile

    class Header(tarfile.TarInfo):
        """A header class that raises an error for a damaged header, which tarfile would take for the archive's end."""

        @classmethod
        def fromtarfile(cls, archive: tarfile.TarFile) -> "Header":
            try:
                return super().fromtarfile(archive)
            except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError):  # type: ignore[attr-defined]
                raise ClosedError(Reason.DAMAGED) from None

    stream.room = _HEADERS
    with _parsing():
        archive = tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|", tarinfo=Header)  # noqa: SIM115  there is nothing to close
    while True:
        stream.room = _HEADERS
        with _parsing():
            info = archive.next()
        if info is None:
            break
        archive.members = []  # type: ignore[attr-defined]  # tarfile would keep all members
        budget.take_member()
        stream.room = None
        with _parsing():
            # Python also treats members of unknown types as files.
            has_content = info.isreg() or info.type not in tarfile.SUPPORTED_TYPES
            content = archive.extractfile(info) if has_content else None
        notes = (info.linkname, info.uname, info.gname, *(word for pair in info.pax_headers.items() for word in pair))
        yield Member(info.name, notes, _pieces(content or io.BytesIO(), budget))
    stream.room = None
    for piece in _pieces(archive.fileobj or io.BytesIO(), budget):
        if piece.strip(b"\0"):  # another archive follows, appended for example by `cat`
            raise ClosedError(Reason.UNSUPPORTED)


def _of_compressed(kind: ArchiveKind, file: IO[bytes], budget: Budget) -> Iterator[Member]:
    stream = _Ahead(_decompressed(kind, file))
    if is_tar(stream.head):
        yield from _of_tar(stream, budget)
    else:
        yield Member("", (), _pieces(stream, budget))


def _decompressed(kind: ArchiveKind, file: IO[bytes]) -> _Reader:
    """Return a reader that decompresses a file to its end.

    Raises `ClosedError` UNSUPPORTED if this Python cannot decompress the format.
    """
    if kind is ArchiveKind.GZIP:
        import gzip

        return gzip.GzipFile(fileobj=file, mode="rb")
    if kind in (ArchiveKind.BZIP2, ArchiveKind.XZ, ArchiveKind.LZMA):
        return io.BufferedReader(Streams(kind, file))
    if kind is not ArchiveKind.ZSTD:
        raise ClosedError(Reason.UNSUPPORTED)
    try:
        zstd = importlib.import_module("compression.zstd")  # since Python 3.14
    except ImportError:
        raise ClosedError(Reason.UNSUPPORTED) from None
    return cast("_Reader", zstd.ZstdFile(file))
