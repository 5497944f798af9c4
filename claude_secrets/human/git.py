"""Reading a git repository's objects for the person, by git itself.

Always: nothing that the repository configures is run (no hooks, filters, monitors or external programs), and nothing
is fetched; contents come raw. Where git has called us, as for a hook, its own words say which index and repository.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.errors import CallerError, Code
from claude_secrets.human import programs

_SETTINGS: Final = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.commitGraph=false",  # it may tell of another history than the commits do
    "log.showSignature=false",  # which runs gpg.program
    "log.showRoot=true",
)
_SAFELY: Final = (
    *(word for setting in _SETTINGS for word in ("-c", setting)),
    "--no-optional-locks",
    "--no-replace-objects",
)
_OFFLINE: Final = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none", "GIT_GRAFT_FILE": os.devnull}
"""What is missing in a partial clone stays missing: a fetch would run what the repository names for it."""

_SAID_BY_GIT: Final = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)
"""Where things are while git runs a hook: `git commit FILE` makes an index for that commit alone (githooks(5))."""

_PIECE: Final = 1 << 20


class Object(NamedTuple):
    """A blob, commit, tag or tree; `path` is one by which it is or was known, or empty."""

    number: str
    path: str


class Repository:
    """The git repository around a directory."""

    def __init__(self, directory: Path, environment: Mapping[str, str], forbidden: Sequence[Path]) -> None:
        self._directory = directory
        kept = programs.clean(environment, forbidden)
        self._environment = {name: value for name, value in kept.items() if not name.startswith("GIT_")} | _OFFLINE
        self._environment |= {name: environment[name] for name in _SAID_BY_GIT if name in environment}
        self._git = programs.find("git", self._environment["PATH"], forbidden)

    def objects(self) -> list[Object]:
        """Every object that is there, reached by something or not; what a branch, tag or stash reaches comes first.

        Raises:
            CallerError: INVALID_ARGUMENTS where there is no git, or no repository.
        """
        reached = self._run("rev-list", "--objects", "--missing=allow-any", "--all", "--indexed-objects", "--reflog")
        pairs = (line.partition(b" ") for line in reached.splitlines())
        paths = {number: path.decode("utf-8", "replace") for number, _, path in pairs}
        every = self._run("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
        here = set(every)
        ordered = [*(number for number in paths if number in here), *(here - paths.keys())]
        return [Object(number.decode("ascii"), paths.get(number, "")) for number in ordered]

    def references(self) -> list[str]:
        """The names of branches, tags and other references. Raises `CallerError` as `objects`."""
        listed = self._run("for-each-ref", "--format=%(refname)")
        return listed.decode("utf-8", "replace").splitlines()

    def is_partial(self) -> bool:
        """Whether a part of the history is elsewhere: in the clone that this one is shallow or partial to."""
        shallow = self._run("rev-parse", "--is-shallow-repository").strip() == b"true"
        return shallow or bool(self._run("config", "--get-regexp", r"^remote\..*\.promisor$", or_else=b""))

    def keep_out(self, path: Path) -> bool:
        """Have this clone ignore a file, whatever the repository's own files say. Returns whether it now does.

        It is known by `info/exclude`, which is in no commit (gitignore(5)). Raises `CallerError` as `objects`.
        """
        top = Path(os.fsdecode(self._run("rev-parse", "--show-toplevel").removesuffix(b"\n")))
        exclude = Path(os.fsdecode(self._run("rev-parse", "--git-path", "info/exclude").removesuffix(b"\n")))
        if not self._ignores(path):
            pattern = re.sub(r"([\\*?\[])", r"\\\1", f"/{path.relative_to(top).as_posix()}")
            with suppress(OSError):
                (self._directory / exclude).parent.mkdir(exist_ok=True)
                with (self._directory / exclude).open("ab+") as file:
                    file.seek(0)
                    file.write((b"" if file.read()[-1:] in (b"\n", b"") else b"\n") + os.fsencode(pattern) + b"\n")
        return self._ignores(path)

    def _ignores(self, path: Path) -> bool:
        return bool(self._run("check-ignore", "--", str(path), or_else=b""))

    def staged(self) -> list[Object]:
        """The blobs that the next commit would bring in. Raises `CallerError` as `objects`."""
        raw = ("diff", "--cached", "--raw", "-z", "--no-abbrev", "--no-renames", "--no-relative")
        words = self._run(*raw, "--no-ext-diff", "--no-textconv").split(b"\0")
        pairs = zip(words[::2], words[1::2], strict=False)
        found = [(meta.split(b" "), path) for meta, path in pairs if meta.startswith(b":")]
        return [
            Object(meta[3].decode("ascii"), path.decode("utf-8", "replace"))
            for meta, path in found
            if meta[4] != b"D" and meta[1] != b"160000"
        ]

    def contents(self, objects: Sequence[Object]) -> Iterator[tuple[Object, Iterator[bytes]]]:
        """Each object with its content in pieces, which have to be taken before the next one is; trees are left out.

        Raises:
            CallerError: INVALID_ARGUMENTS where git cannot give one, as in a partial clone.
        """
        with subprocess.Popen(  # noqa: S603  git as it was found on a cleaned PATH
            self._words("cat-file", "--batch"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
        ) as process:
            if process.stdin is None or process.stdout is None:
                raise TypeError
            for one in objects:
                process.stdin.write(one.number.encode("ascii") + b"\n")
                process.stdin.flush()
                head = process.stdout.readline().split()
                if len(head) != 3:
                    raise CallerError(
                        Code.INVALID_ARGUMENTS,
                        f"git cannot read the object {one.number[:12]}, so it was not looked through.",
                        "In a partial clone, have git fetch what is missing first.",
                    )
                pieces = self._pieces(process, int(head[2]))
                if head[1] != b"tree":
                    yield one, pieces
                for _ in pieces:  # what nobody took
                    pass
                process.stdout.read(1)
            process.stdin.close()

    def first_commit_with(self, one: Object) -> str:
        """The oldest commit that has a blob, shortened; empty where none has, or a part of the history is missing."""
        found = self._run(
            "log",
            "--all",
            "--reflog",
            "--topo-order",
            "--format=%h",
            "--no-textconv",
            f"--find-object={one.number}",
            or_else=b"",
        )
        return found.decode("ascii").split("\n")[-2] if b"\n" in found else ""

    @staticmethod
    def _pieces(process: "subprocess.Popen[bytes]", size: int) -> Iterator[bytes]:
        if process.stdout is None:
            raise TypeError
        while size:
            piece = process.stdout.read(min(size, _PIECE))
            if not piece:
                return
            size -= len(piece)
            yield piece

    def _run(self, *arguments: str, or_else: bytes | None = None) -> bytes:
        """What git prints; `or_else` where it fails."""
        done = subprocess.run(  # noqa: S603  as above
            self._words(*arguments), capture_output=True, env=self._environment, check=False
        )
        if not done.returncode:
            return done.stdout
        if or_else is None:
            raise CallerError(Code.INVALID_ARGUMENTS, "That is no git repository, or git cannot read it.")
        return or_else

    def _words(self, *arguments: str) -> list[str]:
        if self._git is None:
            raise CallerError(Code.INVALID_ARGUMENTS, "There is no git on this machine.")
        return [self._git, *_SAFELY, "-C", str(self._directory), *arguments]
