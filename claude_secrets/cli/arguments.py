"""The options that every command takes, and the parsers of commands with verbs."""

import argparse
from collections.abc import Mapping


def add_common(parser: argparse.ArgumentParser, default: str | None = argparse.SUPPRESS) -> None:
    """Add the options that every command takes.

    Without `default`, the parser sets no default, which would overwrite a value that was given before the command.
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
        help="read the store's passphrase from this file descriptor",
    )


def add_verbs(parser: argparse.ArgumentParser, lines: Mapping[str, str]) -> dict[str, argparse.ArgumentParser]:
    """Add the verbs of a command, each with its one-line help, and return their parsers."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs", required=True)
    parsers = {}
    for verb, line in lines.items():
        parsers[verb] = verbs.add_parser(
            verb, help=line, description=f"{line[0].upper()}{line[1:]}.", allow_abbrev=False
        )
        add_common(parsers[verb])
        parsers[verb].set_defaults(parser=parsers[verb])
    return parsers
