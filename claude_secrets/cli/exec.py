"""`exec`: become another program that has secrets in its environment, or run it and redact what it prints."""

import os
import shutil
import signal
from argparse import REMAINDER, ArgumentParser, Namespace
from collections.abc import Mapping, Sequence

from claude_secrets.cli import foreign, output, variables
from claude_secrets.cli.common import add_scope, find_project, the_person
from claude_secrets.cli.ending import finish
from claude_secrets.cli.output import warn
from claude_secrets.cli.variables import Source, Templates
from claude_secrets.errors import CallerError, Code


def add_arguments(parser: ArgumentParser) -> None:
    """Take files, names and the program with its arguments."""
    parser.usage = "%(prog)s [--file FILE …] [--only NAME …] [--redact] [--yes] [--scope SCOPE] -- COMMAND …"
    variables.add_arguments(parser)
    parser.add_argument(
        "--redact",
        action="store_true",
        help="put [secret://NAME] where the program prints a value, plain or encoded (always where an agent runs it)",
    )
    add_scope(parser)
    foreign.add_yes(parser)
    parser.add_argument("program", metavar="COMMAND", nargs=REMAINDER, help="the program and its arguments")


def run(options: Namespace) -> int:
    """Become the program, or run it to its end."""
    person = the_person(options, find_project(options), options.scope)

    def values(names: Sequence[str]) -> dict[str, str]:
        return person.values(names, "exec", warn=warn)

    def check(templates: Templates) -> None:
        foreign.require_references(person, templates.named_by_files, templates.files, options)

    def close() -> None:
        finish()  # afterwards this is another program
        person.store.close()

    return start(options, Source(values, close, check), os.environ, redact=options.redact)


def start(
    options: Namespace, source: Source, environment: Mapping[str, str], *, redact: bool, sealed: bool = False
) -> int:
    """Run the program with its secrets and `environment`.

    `sealed`, where it is redacted: it inherits no descriptor above 2 that it could write a value to.

    Raises:
        CallerError: there is no such program; or as `variables` says.
    """
    words = options.program[1:] if options.program[:1] == ["--"] else options.program
    if not words:
        raise CallerError(Code.INVALID_ARGUMENTS, "There is no program to run.", "exec --only NAME -- COMMAND …")
    templates = variables.templates(options)
    program = shutil.which(words[0], path=environment.get("PATH"))
    if program is None:
        raise CallerError(Code.INVALID_ARGUMENTS, "There is no such program.")
    source.check(templates)
    found = variables.resolved(templates.variables, source)
    variables.refuse_nul(found)
    source.close()
    full = {**environment, **found.environment}
    output.flush()
    try:
        if redact:
            return _redacted(program, words, full, found.secrets, sealed=sealed)
        _expect_signals()
        os.execve(program, words, full)  # noqa: S606  what the person asked for, without a shell
    except OSError as error:  # it is no program, or its arguments and environment are too long
        raise CallerError(
            Code.INVALID_ARGUMENTS, f"The program cannot be run: {os.strerror(error.errno or 0)}."
        ) from None


def _expect_signals() -> None:
    """Undo what Python does to signals at its start: programs expect to end where nobody reads what they write."""
    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def _redacted(
    program: str, words: Sequence[str], environment: Mapping[str, str], secrets: Mapping[str, str], *, sealed: bool
) -> int:
    import gc

    from claude_secrets.human import supervise
    from claude_secrets.redaction import Finder, Redactor

    finder = Finder(secrets)

    def tell(error: OSError) -> None:
        output.error(f"The output could not be written: {os.strerror(error.errno or 0)}.")

    gc.enable()
    return supervise.run(program, words, environment, lambda: Redactor(finder), tell, sealed=sealed)
