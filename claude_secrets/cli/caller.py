"""Who runs this command: what `agents` has to know, from this process and from what the account itself keeps.

Always: nothing of it can be chosen by the environment but the marks in it.
"""

import os
from argparse import Namespace

from claude_secrets.agent import client_records, detection, processes
from claude_secrets.agent.detection import Agent, Start, View
from claude_secrets.errors import SecretsError


def find(options: Namespace) -> Agent | None:
    """The agent that runs this command; None: a person does."""
    return detection.find(_view(options))


def started(options: Namespace) -> Start:
    """Who started this server; its client is noted, so that its agents are known later."""
    view = _view(options)
    start = detection.started(view)
    if start.client is not None and detection.may_be_recorded(start.client):
        client_records.note(start.client, view.processes.lives)
    return start


def _view(options: Namespace) -> View:
    return View(os.environ, processes.here(), client_records.read(), lambda: _works_in_namespaces(options))


def _works_in_namespaces(options: Namespace) -> bool:
    from claude_secrets.cli.common import find_project, read_settings

    try:
        return read_settings(options, find_project(options)).namespace
    except SecretsError:  # a file that cannot be understood lifts nothing
        return False
