"""Reading a git repository's objects for the person, by git itself.

Always: nothing that the repository configures is run (no hooks, filters, monitors or external programs); contents come
raw.
"""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from claude_secrets.errors import CallerError, Code
from claude_secrets.human import programs

_SAFELY = (
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "--no-optional-locks",
    "--no-replace-objects",
)
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Object:
    """A blob, commit or tag; `path` is one by which a blob is or was known, or empty."""

    number: str
    path: str


class Repository:
    """The git repository around a directory."""

    def __init__(self, directory: Path, environment: Mapping[str, str], forbidden: Sequence[Path]) -> None:
        self._directory = directory
        kept = programs.clean(environment, forbidden)
        self._environment = {name: value for name, value in kept.items() if not name.startswith("GIT_")}
        self._git = programs.find("git", self._environment["PATH"], forbidden)

    def objects(self) -> list[Object]:
        """Every object that a branch, tag, stash or note reaches, and what is staged.

        Raises:
            CallerError: INVALID_ARGUMENTS where there is no git, or no repository.
        """
        listed = self._run("rev-list", "--objects", "--all", "--indexed-objects", "--reflog")
        found = (line.partition(b" ") for line in listed.splitlines())
        return [Object(number.decode("ascii"), path.decode("utf-8", "replace")) for number, _, path in found]

    def staged(self) -> list[Object]:
        """The blobs that the next commit would bring in. Raises `CallerError` as `objects`."""
        diff = ("diff", "--cached", "--raw", "-z", "--no-abbrev", "--no-renames", "--no-ext-diff", "--no-textconv")
        words = self._run(*diff).split(b"\0")
        pairs = zip(words[::2], words[1::2], strict=False)
        found = [(meta.split(b" "), path) for meta, path in pairs if meta.startswith(b":")]
        return [
            Object(meta[3].decode("ascii"), path.decode("utf-8", "replace"))
            for meta, path in found
            if meta[4] != b"D" and meta[1] != b"160000"
        ]

    def contents(self, objects: Sequence[Object]) -> Iterator[tuple[Object, Iterator[bytes]]]:
        """Each object with its content in pieces, which have to be taken before the next one is; trees are left out."""
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
                if len(head) != 3:  # it is missing, as in a shallow clone
                    continue
                pieces = self._pieces(process, int(head[2]))
                if head[1] != b"tree":
                    yield one, pieces
                for _ in pieces:  # what nobody took
                    pass
                process.stdout.read(1)
            process.stdin.close()

    def first_commit_with(self, one: Object) -> str:
        """The oldest commit that has a blob, shortened; empty where none has."""
        found = self._run(
            "log", "--all", "--reflog", "--topo-order", "--format=%h", f"--find-object={one.number}", "--no-textconv"
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

    def _run(self, *arguments: str) -> bytes:
        done = subprocess.run(  # noqa: S603  as above
            self._words(*arguments), capture_output=True, env=self._environment, check=False
        )
        if done.returncode:
            raise CallerError(Code.INVALID_ARGUMENTS, "That is no git repository, or git cannot read it.")
        return done.stdout

    def _words(self, *arguments: str) -> list[str]:
        if self._git is None:
            raise CallerError(Code.INVALID_ARGUMENTS, "There is no git on this machine.")
        return [self._git, *_SAFELY, "-C", str(self._directory), *arguments]
