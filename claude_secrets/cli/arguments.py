"""Add the options that all commands share, and the verbs of commands that have verbs."""

import argparse
from collections.abc import Mapping


def add_common(parser: argparse.ArgumentParser, default: str | None = argparse.SUPPRESS) -> None:
    """Add the options that every command takes.

    If `default` is omitted, the parser sets no default, because a default would overwrite an option that was given
    before the command.
    """
    parser.add_argument("--project", metavar="DIR", default=default, help="the project's directory")
    parser.add_argument(
        "--store", metavar="PATH", default=default, help="use the store at PATH instead of the default one"
    )
    parser.add_argument(
        "--passphrase-fd",
        metavar="N",
        type=int,
        default=default,
        help="read the store's passphrase from this file descriptor (on Windows only 0)",
    )


def add_verbs(parser: argparse.ArgumentParser, lines: Mapping[str, str]) -> dict[str, argparse.ArgumentParser]:
    """Add the verbs of a command, and return a parser for each verb. `lines` contains the help line of each verb."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs", required=True)
    parsers = {}
    for verb, line in lines.items():
        parsers[verb] = verbs.add_parser(
            verb, help=line, description=f"{line[0].upper()}{line[1:]}.", allow_abbrev=False
        )
        add_common(parsers[verb])
        parsers[verb].set_defaults(parser=parsers[verb])
    return parsers
