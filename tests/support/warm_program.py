"""Run many commands of the program one after the other in one process, because starting a process can take seconds.

Each command gets its own arguments, environment, directory and standard streams, as a process of its own would. The
environment's home also counts as the account's home.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.program import bar_own_keyring

_BINARY = getattr(os, "O_BINARY", 0)
"""Only Windows has this flag. Without it, its C library changes line ends."""


class WarmProgram:
    """The process, and the files that its commands use as standard streams."""

    def __init__(self, files: Path) -> None:
        self._files = files
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def run(
        self, *words: str, at: Path, environment: Mapping[str, str], stdin: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        """Run one command, and return its exit code and its output."""
        given, out, err = streams = [self._files / name for name in ("stdin", "stdout", "stderr")]
        given.write_text(stdin, "utf-8", newline="")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([words, str(at), dict(environment), [*map(str, streams)]]) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(words, code, *(file.read_text("utf-8", "replace") for file in (out, err)))


def _main() -> None:
    bar_own_keyring()
    from claude_secrets import paths
    from claude_secrets.cli.main import main

    paths.account_home = lambda: Path(os.environ["USERPROFILE"])

    with os.fdopen(os.dup(0), encoding="utf-8") as wire, os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        for line in wire:
            words, directory, environment, files = json.loads(line)
            os.environ.clear()
            os.environ.update(environment)
            os.chdir(directory)
            for number, file in enumerate(files):
                opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC * (number > 0) | _BINARY)
                os.dup2(opened, number)
                os.close(opened)
            sys.stdin = open(0, closefd=False)  # noqa: SIM115  the descriptors stay open, for the next command
            sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115  as above
            print(main(words), file=answers, flush=True)


if __name__ == "__main__":
    _main()
