"""`export`: print variables with secret values, as shell commands, a .env file or JSON."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from claude_secrets.cli import ask_about_others, variables
from claude_secrets.cli.opening import add_scope, invocation_of, scoped_person, yes_of
from claude_secrets.cli.output import say_json, warn, write
from claude_secrets.cli.variables import Choice, Source, Variables, listed
from claude_secrets.errors import CallerError, Code
from claude_secrets.exec import dotenv_file
from claude_secrets.person import secrets


def add_arguments(parser: ArgumentParser) -> None:
    """Add files, names, `--format` and `--on-missing` to the parser."""
    variables.add_arguments(parser)
    parser.add_argument(
        "--format",
        choices=["shell", "dotenv", "json"],
        default="shell",
        help='shell (the default): for eval "$(claude-secrets export)" in any POSIX shell; dotenv: for python-dotenv '
        "1.2.3 or later (never source this format in a shell, which could run a value as code; docker --env-file "
        "would keep the quotes)",
    )
    parser.add_argument(
        "--on-missing",
        choices=["error", "empty", "keep"],
        default="error",
        help="what to do if a referenced secret is missing: error (the default) prints no variables, empty "
        "removes the reference, keep prints the reference unchanged",
    )
    add_scope(parser)
    ask_about_others.add_yes(parser)


def loosens(_options: Namespace) -> bool:
    """Return whether the command gives more access to agents or to readers of its output."""
    return True


def run(options: Namespace) -> int:
    """Print the variables."""
    person = scoped_person(options)

    def values(names: Sequence[str], accept: Callable[[Mapping[str, str]], object]) -> dict[str, str]:
        return secrets.get_values(person, names, "export", warn=warn, accept=accept)

    def text(result: Variables) -> str:
        if options.format == "json":
            return ""
        variables.refuse_nul(result)
        return _shell(result.environment) if options.format == "shell" else _dotenv(result.environment)

    templates = variables.templates(Choice(options.file, options.only, dangerous_too=options.allow_dangerous_names))
    if options.format == "shell":
        variables.refuse_shells_own(templates.variables)
    ask_about_others.require_references(
        person, templates.named_by_files, templates.files, yes_of(invocation_of(options))
    )
    source = Source(values, person.store.close, missing=partial(variables.how_to_store, options))
    result = variables.resolved(templates.variables, source, text, on_missing=options.on_missing)
    if options.format == "json":
        say_json(result.environment)
        return 0
    write(text(result).encode())
    return 0


def _shell(environment: Mapping[str, str]) -> str:
    """Return exports with values in single quotes: POSIX shells expand nothing there (IEEE 1003.1, Shell, 2.2.2)."""
    quoted = {name: value.replace("'", "'\\''") for name, value in environment.items()}
    return "".join(f"export {name}='{value}'\n" for name, value in quoted.items())


def _dotenv(environment: Mapping[str, str]) -> str:
    quoted = {name: dotenv_file.quoted(value) for name, value in environment.items()}
    wrong = [name for name, value in quoted.items() if value is None]
    if wrong:
        raise CallerError(
            Code.INVALID_VALUE,
            f"{listed(wrong)}: the value contains '${{', which programs expand when they read a .env file.",
            "Use --format shell or json.",
        )
    return "".join(f"{name}={value}\n" for name, value in quoted.items())
