"""Check how `input_secret` can ask the person."""

import os
import sys

from claude_secrets.cli.checks.finding import Finding
from claude_secrets.paths import command
from claude_secrets.policy.planted import grounds_of
from claude_secrets.policy.project import Project
from claude_secrets.prompt import browser, wsl
from claude_secrets.prompt.dialog import Dialogs
from claude_secrets.surroundings import a_terminal, surroundings


def check_asking(project: Project | None) -> Finding:
    """Report how `input_secret` can ask the person here, and what the person can type if it cannot."""
    forbidden = grounds_of(project.path) if project is not None else []
    program = browser.opener(os.environ, forbidden=forbidden, platform=sys.platform)
    dialogs = Dialogs(os.environ, forbidden, sys.platform)
    if program is not None:
        return Finding("asking", "ok", f"input_secret can open its page with {program}.")
    if dialogs.available():
        return Finding("asking", "ok", "input_secret can ask in a dialog on this desktop.")
    here = surroundings(os.environ)
    why = "WSL mirrors the network" if wsl.is_wsl() and wsl.is_mirrored() else "no browser and no dialog can be opened"
    message = f"Here, input_secret can ask you only if the client opens web addresses, because {why}."
    return Finding("asking", "ok", message, f"You can also enter a value in {a_terminal(here)}: {command()} set NAME")
