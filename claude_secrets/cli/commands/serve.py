"""`serve`: run the MCP server."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import MutableMapping
from pathlib import Path

from claude_secrets.cli.asking import passphrase
from claude_secrets.paths import expanded
from claude_secrets.policy.config import Trust


def add_arguments(parser: ArgumentParser) -> None:
    """Add `--trust` to the parser."""
    modes = [mode.name.lower() for mode in Trust]
    parser.add_argument(
        "--trust", choices=modes, help="use a stricter mode than your config.yml sets; a looser mode has no effect"
    )


def run(options: Namespace) -> int:
    """Serve the person's own client until the client disconnects."""
    project = expanded(options.project) if options.project else None
    return start(options, environment=os.environ, project=project, bound=False, asks=True)


def start(
    options: Namespace, *, environment: MutableMapping[str, str], project: Path | None, bound: bool, asks: bool
) -> int:
    """Serve until the client disconnects.

    `bound`: serve only the project of the working directory. `asks`: the server can ask the person, because the
    person's own client started the server.
    """
    from claude_secrets.server.serve import serve

    given = None if options.passphrase_fd is None else passphrase("Passphrase of the store", options.passphrase_fd)
    return serve(
        project=project,
        store_argument=options.store,
        environment=environment,
        tighten=Trust.asked_for(options.trust),
        passphrase=given,
        bound=bound,
        asks=asks,
    )
