"""`exec`: run a program with secrets in its environment; with `--redact`, also redact its output."""

import errno
import os
import re
import shutil
import signal
import stat
import sys
from argparse import REMAINDER, ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NoReturn

from claude_secrets import core_dumps, programs
from claude_secrets.cli import ask_about_others, output, variables
from claude_secrets.cli.opening import add_scope, invocation_of, scoped_person, yes_of
from claude_secrets.cli.output import warn
from claude_secrets.cli.teardown import run_after_success
from claude_secrets.cli.variables import Choice, Source, Templates
from claude_secrets.errors import CallerError, Code, SecretsError
from claude_secrets.exec import windows_words
from claude_secrets.exit_codes import NO_PROGRAM, NOT_STARTED
from claude_secrets.paths import command
from claude_secrets.person import secrets
from claude_secrets.person.person import Person

_SHOWN: Final = 100
"""A message shows at most this many characters of a word."""

_SHELLS_OWN: Final = frozenset(" \t\n$`|&;<>(){}[]*?~'\"\\=")
_BUILTIN: Final = re.compile(
    r"[!.:]|alias|bg|bind|case|cd|command|declare|eval|exec|exit|export|fg|for|function|if|jobs|let|local|popd|pushd|"
    "read|readonly|return|set|setopt|shift|shopt|source|times?|trap|type|typeset|ulimit|umask|unalias|unset|until|while"
)
"""Builtins and keywords of shells. A word is compared with these only if no program has that name."""

_CMDS_OWN: Final = re.compile(
    r"assoc|call|cd|chdir|cls|copy|date|del|dir|echo|endlocal|erase|exit|for|ftype|goto|if|md|mkdir|mklink|move|path|"
    "pause|popd|prompt|pushd|rd|rem|ren|rename|rmdir|set|setlocal|shift|start|time|title|type|ver|verify|vol",
    re.IGNORECASE,
)
"""Commands of cmd.exe, which are not programs."""

_WHY: Final = {
    errno.ENOEXEC: (
        "it is no program for this machine; start a script with the program that runs it, as in: python script.py"
        if sys.platform == "win32"
        else "it is neither a program for this machine nor a script whose first line begins with #!"
    ),
    errno.ENOENT: "its interpreter does not exist (the first line of a script names its interpreter)",
    errno.E2BIG: "its arguments and its environment are too long",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add files, names, and the program with its arguments to the parser."""
    parser.usage = "%(prog)s [--file FILE …] [--only NAME …] [--redact] [--yes] [--scope SCOPE] -- COMMAND …"
    variables.add_arguments(parser)
    parser.add_argument(
        "--redact",
        action="store_true",
        help="in the program's output, replace each plain or encoded value with [secret://NAME] (always on for agents)",
    )
    add_scope(parser)
    ask_about_others.add_yes(parser)
    parser.add_argument("program", metavar="COMMAND", nargs=REMAINDER, help="the program and its arguments")


def run(options: Namespace) -> int:
    """Replace this process with the program. With `--redact`, or on Windows, run the program as a child process."""
    person = scoped_person(options)

    def values(names: Sequence[str], accept: Callable[[Mapping[str, str]], object]) -> dict[str, str]:
        return secrets.get_values(person, names, "exec", warn=warn, accept=accept)

    def check(templates: Templates) -> None:
        ask_about_others.require_references(
            person, templates.named_by_files, templates.files, yes_of(invocation_of(options))
        )

    def close() -> None:
        run_after_success()  # after `execve` this process is another program
        person.store.close()

    def shown(word: str) -> str:
        return _without_values(person, word)

    return start(
        options.program,
        Choice(options.file, options.only, dangerous_too=options.allow_dangerous_names),
        Source(values, close, check, shown, partial(variables.how_to_store, options)),
        os.environ,
        redact=options.redact,
    )


def _without_values(person: Person, word: str) -> str:
    """Return a word with references instead of stored values.

    The result is empty if the word may contain another credential, or if the stored values cannot be read.
    """
    from claude_secrets.person.inspection import every_value
    from claude_secrets.redaction.credentials import kinds_in

    try:
        from claude_secrets.redaction.finder import Finder  # it fails if google-re2 is missing
        from claude_secrets.redaction.leaks import redacted

        stored = every_value(person, "exec", refused=Code.INVALID_ARGUMENTS) if person.store.exists() else {}
        shown = redacted(Finder(stored), word)
    except (SecretsError, UnicodeEncodeError):  # arguments on Windows may contain an unpaired surrogate
        return ""
    return "" if kinds_in(shown) else shown


def start(
    given: list[str],
    choice: Choice,
    source: Source,
    environment: Mapping[str, str],
    *,
    redact: bool,
    sealed: bool = False,
) -> int:
    """Run the program that `given` names, with its arguments, the chosen secrets and `environment`.

    Return the program's exit code; NO_PROGRAM or NOT_STARTED if it did not run.

    If `redact` and `sealed` are set, the program inherits no file descriptor above 2 that bypasses the redaction.

    Raises:
        CallerError: `given` names no program, `variables` refused the choice, or the arguments are not safe for a
            batch file of Windows.
    """
    words = given[1:] if given[:1] == ["--"] else given
    if not words:
        raise CallerError(Code.INVALID_ARGUMENTS, "There is no program to run.", _example())
    templates = variables.templates(choice)
    try:
        program = _found(words[0], environment)
    except OSError as error:
        return _not_found(words[0], error, source.shown(words[0]))
    if sys.platform == "win32":
        windows_words.refuse_unsafe(program, words[1:])
    source.check(templates)
    resolved = variables.resolved(templates.variables, source, variables.refuse_nul)
    source.close()
    full = windows_words.merged(environment, resolved.environment)
    if sys.platform == "win32":
        full = windows_words.merged({}, programs.without_planted(program, full, os.getcwd()))  # noqa: PTH109  a text
    output.flush()
    try:
        if redact:
            return _redacted(program, words, full, resolved.secrets, sealed=sealed)
        return _replaced(program, words, full)
    except OSError as error:
        core_dumps.forbid()
        return _not_run(error)


def _example() -> str:
    return f"For example: {command()} exec --only NAME -- COMMAND ARGUMENTS"


def _replaced(program: str, words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Become the program. On Windows, run the program as a child process instead, and return its exit code."""
    if sys.platform == "win32":
        from claude_secrets.exec import windows_child

        return windows_child.run(program, words[1:], environment)
    else:
        return _become(program, words, environment)


def _become(program: str, words: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    _expect_signals()
    core_dumps.give_back()
    os.execve(program, list(words), environment)  # noqa: S606  the person named the program; no shell is used


def _found(word: str, environment: Mapping[str, str]) -> str:
    """Find a program by its name, as a shell does, and return its path.

    Raises:
        OSError: the program cannot be run; FileNotFoundError if it does not exist.
    """
    program = programs.named(word, environment)
    if program is not None:
        return program
    if os.path.dirname(word) and stat.S_ISDIR(os.stat(word).st_mode):  # noqa: PTH116, PTH120  Path drops "./"
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    there = os.path.dirname(word)  # noqa: PTH120  as above
    if sys.platform != "win32":  # on Windows every file may be run
        there = there or shutil.which(word, os.F_OK, environment.get("PATH")) or ""
    number = errno.EACCES if there else errno.ENOENT
    raise OSError(number, os.strerror(number))


def _not_found(word: str, error: OSError, shown: str) -> int:
    """Report that a program does not exist or cannot be run. Return the exit code that a shell returns then."""
    name = f" '{shown[:_SHOWN]}{'…' * (len(shown) > _SHOWN)}'" if shown else ""
    if error.errno != errno.ENOENT:
        output.error(f"[{Code.INVALID_ARGUMENTS}] The program{name} cannot be run: {_why(error)}.")
        return NOT_STARTED
    output.error(f"[{Code.INVALID_ARGUMENTS}] There is no such program{':' * bool(name)}{name}.")
    if sys.platform == "win32":
        _hint_for_windows(word)
    elif not _SHELLS_OWN.isdisjoint(word) or _BUILTIN.fullmatch(word):
        output.hint(f"exec starts a program without a shell; to use shell syntax: {command()} exec … -- sh -c '…'")
    return NO_PROGRAM


def _hint_for_windows(word: str) -> None:
    if _CMDS_OWN.fullmatch(word):
        output.hint(f"exec starts a program without a shell; for a command of cmd.exe: {command()} exec … -- cmd /c …")
    elif programs.named(f".{os.sep}{word}", os.environ) is not None:
        output.hint(f"exec takes a program from the working directory only if you name its path, as in .{os.sep}NAME")


def _not_run(error: OSError) -> int:
    """Report why an existing program did not start. Return the exit code that a shell returns then."""
    output.error(f"[{Code.INVALID_ARGUMENTS}] The program cannot be run: {_WHY.get(error.errno or 0) or _why(error)}.")
    return NO_PROGRAM if error.errno == errno.ENOENT else NOT_STARTED


def _why(error: OSError) -> str:
    if getattr(error, "winerror", None):  # Windows has more error codes than errno
        return error.strerror or os.strerror(error.errno or 0)
    return os.strerror(error.errno or 0)


def _expect_signals() -> None:
    """Restore the default actions of signals that Python ignores; programs rely on SIGPIPE."""
    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def _redacted(
    program: str, words: Sequence[str], environment: Mapping[str, str], secrets: Mapping[str, str], *, sealed: bool
) -> int:
    from claude_secrets.exec import supervise
    from claude_secrets.redaction.finder import Finder
    from claude_secrets.redaction.redactor import Redactor

    finder = Finder(secrets)

    def tell(error: OSError) -> None:
        output.error(f"The output could not be written: {os.strerror(error.errno or 0)}.")

    return supervise.run(program, words, environment, lambda: Redactor(finder), tell, sealed=sealed)
