"""Who runs this command: what `detection` has to know, from this process and from what the account itself keeps.

Always: nothing of it can be chosen by the environment but the marks in it.
"""

import os
from collections.abc import Callable

from claude_secrets.agent import client_records, detection, processes
from claude_secrets.agent.detection import Agent, CallerEvidence, Start


def find_agent(is_mine: Callable[[], bool]) -> Agent | None:
    """The agent that runs this command; None: a person does. `is_mine` as in `View`."""
    return detection.find_agent(_view(is_mine))


def who_started(is_mine: Callable[[], bool]) -> Start:
    """Who started this server; its client is noted, so that its agents are known later. `is_mine` as in `View`."""
    view = _view(is_mine)
    start = detection.who_started(view)
    if start.client is not None and detection.may_be_recorded(start.client):
        client_records.note(start.client, view.processes.lives)
    return start


def _view(is_mine: Callable[[], bool]) -> CallerEvidence:
    return CallerEvidence(os.environ, processes.here(), client_records.read_records(), is_mine)
