"""Options that every command takes, and commands that have verbs."""

import argparse
from collections.abc import Mapping


def add_common(parser: argparse.ArgumentParser, default: str | None = argparse.SUPPRESS) -> None:
    """Add what every command takes; without `default` an option that is not given leaves what stands before it."""
    parser.add_argument("--project", metavar="DIR", default=default, help="the project's directory")
    parser.add_argument("--store", metavar="PATH", default=default, help="another store than the usual one")
    parser.add_argument(
        "--passphrase-fd",
        metavar="N",
        type=int,
        default=default,
        help="read the store's passphrase from this file descriptor",
    )


def add_verbs(parser: argparse.ArgumentParser, lines: Mapping[str, str]) -> dict[str, argparse.ArgumentParser]:
    """Take one of the verbs, each with the line that says what it does; returns their parsers."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs", required=True)
    parsers = {}
    for verb, line in lines.items():
        parsers[verb] = verbs.add_parser(
            verb, help=line, description=f"{line[0].upper()}{line[1:]}.", allow_abbrev=False
        )
        add_common(parsers[verb])
        parsers[verb].set_defaults(parser=parsers[verb])
    return parsers
