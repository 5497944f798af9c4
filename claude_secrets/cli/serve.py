"""`serve`: the MCP server."""

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(_parser: ArgumentParser) -> None:
    """Take nothing but the common options."""


def run(options: Namespace) -> int:
    """Serve until the client is gone."""
    from claude_secrets.server import serve

    project = Path(options.project).expanduser() if options.project else None
    return serve(project=project, store_argument=options.store, environment=os.environ)
