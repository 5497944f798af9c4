"""Who runs this command: what `agents` has to know, from this process and from what the account itself keeps.

Always: nothing of it can be chosen by the environment but the marks in it.
"""

import os

from claude_secrets import agents, client_records, processes
from claude_secrets.agents import Agent, Start, View
from claude_secrets.errors import SecretsError
from claude_secrets.paths import config_directory


def find() -> Agent | None:
    """The agent that runs this command; None: a person does."""
    return agents.find(_view())


def started() -> Start:
    """Who started this server; its client is noted, so that its agents are known later."""
    start = agents.started(_view())
    if start.client is not None and agents.may_be_recorded(start.client):
        client_records.note(start.client)
    return start


def _view() -> View:
    return View(os.environ, processes.here(), client_records.read(), _namespace_is_mine)


def _namespace_is_mine() -> bool:
    from claude_secrets.own_files import read_config

    try:
        return read_config(config_directory()).namespace_is_mine
    except SecretsError:  # a file that cannot be understood lifts nothing
        return False
