"""The face for agents: an MCP server on standard input and output. Only `cli/serve.py` imports it."""

import gc
from collections.abc import MutableMapping
from pathlib import Path


def serve(*, project: Path | None, store_argument: str | None, environment: MutableMapping[str, str]) -> int:
    """Serve MCP until the client is gone; returns the exit code.

    `project` is the directory of `--project`, `store_argument` the path of `--store`, where given.
    """
    gc.disable()  # what the SDK's import allocates stays: collecting meanwhile costs a tenth of the start
    from claude_secrets.server.app import run

    gc.freeze()
    gc.enable()
    run(project, store_argument, environment)
    return 0
