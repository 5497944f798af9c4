"""Finds out whether a person or an agent runs this command: gathers the evidence, and lets `detection` decide.

Always: the environment is used only as evidence for an agent, never as evidence for a person.
"""

import os
from collections.abc import Callable

from claude_secrets.agent import client_records, detection, processes
from claude_secrets.agent.detection import Agent, CallerEvidence, Start


def find_agent(is_mine: Callable[[], bool]) -> Agent | None:
    """Return the agent that runs this command, or None if a person runs it. `CallerEvidence` explains `is_mine`."""
    return detection.find_agent(_view(is_mine))


def note_who_started(is_mine: Callable[[], bool]) -> Start:
    """Return who started this server, and record the client, so that the client's agents are recognised later.

    `CallerEvidence` explains `is_mine`.
    """
    view = _view(is_mine)
    start = detection.who_started(view)
    if start.client is not None and detection.may_be_recorded(start.client):
        client_records.record_client(start.client, view.processes.lives)
    return start


def _view(is_mine: Callable[[], bool]) -> CallerEvidence:
    return CallerEvidence(os.environ, processes.here(), client_records.read_records(), is_mine)
