"""Read the objects of a git repository for the person, by running git.

Always: git runs nothing that the repository configures (no hooks, filters, monitors or external programs) and fetches
nothing. Contents are not converted. Every git process has a time limit. If git started our process, for example as a
hook, git's environment variables select the repository and the index.
"""

import ast
import os
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets import programs
from claude_secrets.errors import CallerError, Code
from claude_secrets.exec import git_packs
from claude_secrets.exec.git_process import GitProcess
from claude_secrets.redaction.gap_reasons import ClosedError, Reason
from claude_secrets.true_names import true_path

_SETTINGS: Final = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.multiPackIndex=false",  # each pack's own index has the same data, and we check it
    "core.quotePath=true",
    "core.commitGraph=false",  # its history may differ from that of the commits
    "log.showSignature=false",  # showing signatures runs gpg.program
    "log.showRoot=true",
)
_SAFELY: Final = (
    *(word for setting in _SETTINGS for word in ("-c", setting)),
    "--no-optional-locks",
    "--no-replace-objects",
)
_OFFLINE: Final = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none", "GIT_GRAFT_FILE": os.devnull}
"""Keeps git from fetching objects that a partial clone lacks. A fetch would run programs that the repository names."""

_SAID_BY_GIT: Final = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)
"""Variables that git sets for a hook. For example, `git commit FILE` uses a temporary index (githooks(5))."""

_PIECE: Final = 1 << 20
_SUBMODULE: Final = b"160000"
"""The mode of a tree entry that names a commit of another repository."""


class Object(NamedTuple):
    """A blob, commit, tag or tree. `number` is its hash. `path` is one of its present or former paths, or empty."""

    number: str
    path: str


class Objects(NamedTuple):
    """The objects of a repository.

    `here` are the objects in the repository. `missing` are objects that the history refers to but that the repository
    lacks. `is_whole` is false if git could not follow the whole history, or could not list all objects.
    """

    here: list[Object]
    missing: list[Object]
    is_whole: bool


class Staged(NamedTuple):
    """The blobs that the next commit would add, the paths with conflicts, and the number of changed submodules."""

    blobs: list[Object]
    unmerged: list[str]
    submodules: int


class Known(NamedTuple):
    """A path of a blob in the history, and the oldest commit that contains the blob at this path."""

    path: str
    commit: str


class Repository:
    """The git repository that contains a directory."""

    def __init__(self, directory: Path, environment: Mapping[str, str], forbidden: Sequence[Path]) -> None:
        self._directory = directory
        kept = programs.clean(environment, forbidden)
        self._environment = {name: value for name, value in kept.items() if not name.startswith("GIT_")} | _OFFLINE
        self._environment |= {name: environment[name] for name in _SAID_BY_GIT if name in environment}
        self._git = programs.find("git", self._environment["PATH"], forbidden)

    def require(self) -> None:
        """Raise `CallerError` INVALID_ARGUMENTS if git is not found, or cannot read a repository here."""
        self.directory()

    def directory(self) -> Path:
        """Return the git directory that all work trees of this repository share.

        Raises the same `CallerError` as `require`.
        """
        said = _path(self._run("rev-parse", "--git-common-dir").removesuffix(b"\n"))
        return Path(true_path(self._directory / said))

    def objects(self) -> Objects:
        """List all objects, reachable or not. Objects that a branch, tag or stash reaches come first.

        Raises the same `CallerError` as `require`.
        """
        listed = ("rev-list", "--objects", "--missing=print", "--all", "--indexed-objects", "--reflog")
        reached, code = self._output(*listed)
        paths = dict[bytes, str]()
        for line in reached.splitlines():
            number, _, path = line.partition(b" ")
            paths[number] = path.decode("utf-8", "replace")
        missing = [Object(number[1:].decode("ascii"), "") for number in paths if number.startswith(b"?")]
        with self._start("cat-file", "--batch-all-objects", "--batch-check=%(objectname)") as process:
            here = set(b"".join(process.pieces()).split())
        if process.end():
            raise _unreadable()
        # git skips a pack whose index it cannot read. It reports the problem only on standard error, and exits with 0.
        is_told = not process.has_complained or self.is_partial()  # git always warns about a partial clone
        is_whole = not code and is_told and all(map(git_packs.are_whole, self._stores()))
        ordered = [*(number for number in paths if number in here), *(here - paths.keys())]
        return Objects([Object(number.decode("ascii"), paths.get(number, "")) for number in ordered], missing, is_whole)

    def _stores(self) -> Iterator[Path]:
        """Yield the object directories: the repository's own directory, and its alternates."""
        own = self._run("rev-parse", "--git-path", "objects").removesuffix(b"\n")
        yield self._directory / _path(own)
        for line in self._run("count-objects", "-v").splitlines():
            name, _, path = line.partition(b": ")
            if name == b"alternate":
                said = (
                    ast.literal_eval("b" + path.decode("ascii", "backslashreplace")) if path.startswith(b'"') else path
                )
                yield self._directory / _path(said)

    def references(self) -> list[str]:
        """Return the names of branches, tags and other references. Raises the same `CallerError` as `require`."""
        listed = self._run("for-each-ref", "--format=%(refname)")
        return listed.decode("utf-8", "replace").splitlines()

    def is_shallow(self) -> bool:
        """Whether this is a shallow clone, which lacks older parts of the history."""
        return self._run("rev-parse", "--is-shallow-repository").strip() == b"true"

    def is_partial(self) -> bool:
        """Whether this is a partial clone, which may lack objects that its remote has."""
        return bool(self._run("config", "--get-regexp", r"^remote\..*\.promisor$", or_else=b""))

    def submodules(self) -> int:
        """Return the number of submodules in the index."""
        entries = self._run("ls-files", "--stage", "-z", or_else=b"").split(b"\0")
        return sum(entry.startswith(_SUBMODULE) for entry in entries)

    def keep_out(self, path: Path) -> bool:
        """Make git ignore a file in this clone, by a line in `info/exclude`, which is never committed (gitignore(5)).

        Returns whether git now ignores the file. Raises the same `CallerError` as `require`.
        """
        top = Path(_path(self._run("rev-parse", "--show-toplevel").removesuffix(b"\n")))
        exclude = Path(_path(self._run("rev-parse", "--git-path", "info/exclude").removesuffix(b"\n")))
        if not self.ignores(path):
            pattern = re.sub(r"([\\*?\[])", r"\\\1", f"/{path.relative_to(top).as_posix()}")
            with suppress(OSError):
                (self._directory / exclude).parent.mkdir(exist_ok=True)
                with (self._directory / exclude).open("ab+") as file:
                    file.seek(0)
                    file.write((b"" if file.read()[-1:] in (b"\n", b"") else b"\n") + os.fsencode(pattern) + b"\n")
        return self.ignores(path)

    def tracks(self, path: Path) -> bool:
        """Return whether git's index has the file as it is. False if a filter, such as git-crypt's, converts it."""
        if not self._run("--literal-pathspecs", "ls-files", "-z", "--", str(path), or_else=b""):
            return False
        filters = self._run("check-attr", "-z", "filter", "--", str(path), or_else=b"").split(b"\0")
        return filters[2:3] in ([b"unspecified"], [b"unset"], [])

    def ignores(self, path: Path) -> bool:
        """Return whether git ignores the file. False for a file that git tracks."""
        return bool(self._run("check-ignore", "--", str(path), or_else=b""))

    def staged(self) -> Staged:
        """List the changes that the next commit would contain. Raises the same `CallerError` as `require`."""
        raw = ("diff", "--cached", "--raw", "-z", "--no-abbrev", "--no-renames", "--no-relative")
        words = self._run(*raw, "--no-ext-diff", "--no-textconv").split(b"\0")
        result, submodules = Staged([], [], 0), 0
        for meta, name in zip(words[::2], words[1::2], strict=False):
            _, mode, _, number, status = meta.split(b" ")
            path = name.decode("utf-8", "replace")
            if status == b"U":
                result.unmerged.append(path)
            elif mode == _SUBMODULE:
                submodules += 1
            elif status != b"D":
                result.blobs.append(Object(number.decode("ascii"), path))
        return result._replace(submodules=submodules)

    def contents(self, objects: Sequence[Object]) -> Iterator[tuple[Object, str, Iterator[bytes]]]:
        """Yield each object with its kind and the pieces of its content.

        Read the pieces of an object before you request the next object. Reading a missing or damaged object raises
        `ClosedError`. If git ends because an object is damaged, a new git process is started for the next object.

        Raises:
            CallerError: INVALID_ARGUMENTS if git does not answer.
        """
        rest = iter(objects)
        for one in rest:
            with self._start("cat-file", "--batch") as process:
                yield from self._contents(process, one, rest)

    @staticmethod
    def _contents(
        process: GitProcess, one: Object | None, rest: Iterator[Object]
    ) -> Iterator[tuple[Object, str, Iterator[bytes]]]:
        while one is not None:
            head = process.ask(one.number).split()
            if len(head) != 3:
                yield one, "", map(_refuse, [Reason.MISSING])
            else:
                content = _Content(process, int(head[2]))
                yield one, head[1].decode("ascii"), content.pieces()
                with suppress(ClosedError):
                    for _ in content.pieces():  # skip pieces that the caller did not read
                        pass
                if content.is_cut:
                    return
            if not head:
                return
            one = next(rest, None)

    def known_at(self, numbers: Container[bytes]) -> dict[str, list[Known]]:
        """Return the paths of each blob in the history, oldest first.

        Each path comes with the oldest commit that contains the blob at this path. The result covers only the history
        that git can follow. Raises the same `CallerError` as `require`.
        """
        by_blob = dict[str, dict[str, str]]()
        words = ("--all", "--reflog", "--topo-order", "--raw", "-c", "-z", "--no-abbrev", "--no-renames")
        with self._start("log", *words, "--no-textconv", "--no-ext-diff", "--format=%H") as process:
            commit = b""
            tokens = _by_nul(process.pieces())
            for token in tokens:
                meta = token.lstrip(b"\n")
                if not meta.startswith(b":"):
                    commit = meta or commit
                    continue
                path, number = next(tokens, b""), meta.split(b" ")[-2]
                if number in numbers:
                    paths = by_blob.setdefault(number.decode("ascii"), {})
                    paths.pop(shown := path.decode("utf-8", "replace"), None)
                    paths[shown] = commit.decode("ascii")
        return {number: [Known(*pair) for pair in reversed(paths.items())] for number, paths in by_blob.items()}

    def _run(self, *arguments: str, or_else: bytes | None = None) -> bytes:
        """Return git's output. If git fails, return `or_else`; if that is None, raise `CallerError`."""
        said, code = self._output(*arguments)
        if not code:
            return said
        if or_else is None:
            raise _unreadable()
        return or_else

    def _output(self, *arguments: str) -> tuple[bytes, int]:
        with self._start(*arguments) as process:
            said = b"".join(process.pieces())
            return said, process.end()

    def _start(self, *arguments: str) -> GitProcess:
        if self._git is None:
            raise CallerError(Code.INVALID_ARGUMENTS, "There is no git on this machine.")
        return GitProcess([self._git, *_SAFELY, "-C", str(self._directory), *arguments], self._environment)


class _Content:
    """The content of one object in the output of `cat-file --batch`."""

    def __init__(self, process: GitProcess, size: int) -> None:
        self._process = process
        self._left = size + 1  # the content and the newline after it
        self.is_cut = False

    def pieces(self) -> Iterator[bytes]:
        """Yield the content in pieces. Raises `ClosedError` DAMAGED if git ends before the content is complete."""
        while self._left:
            piece = self._process.read(min(self._left, _PIECE))
            if not piece:
                self.is_cut = True
                raise ClosedError(Reason.DAMAGED)
            self._left -= len(piece)
            yield piece if self._left else piece[:-1]


def _unreadable() -> CallerError:
    return CallerError(Code.INVALID_ARGUMENTS, "This is not a git repository, or git cannot read it.")


def _path(said: bytes) -> str:
    """Return a path that git prints. Raise `CallerError` INVALID_ARGUMENTS if this system has no such path.

    Git copies some paths from the repository's files. Windows, but no other system, refuses bytes that are not UTF-8.
    """
    try:
        return os.fsdecode(said)
    except UnicodeDecodeError:
        raise _unreadable() from None


def _refuse(why: Reason) -> bytes:
    raise ClosedError(why)


def _by_nul(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield each text that ends with a NUL byte, without this byte."""
    held = b""
    for piece in pieces:
        *whole, held = (held + piece).split(b"\0")
        yield from whole
