"""The example of a first session runs, and its output is in order if it is piped."""

import subprocess
import sys
from pathlib import Path

from tests.support.machine import DEADLINE, Machine

EXAMPLE = Path(__file__).parents[2] / "examples" / "first_session.py"


def test_the_first_session_shows_its_steps_in_order(bare_machine: Machine) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=4 * DEADLINE,
        env=bare_machine.environment,
        start_new_session=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = [
        "person  $ claude-secrets init",
        "The project's .claude/secrets.yml now says:",
        "The server offers 6 tools",
        "agent   -> set_secret",
        "agent   -> delete_secret",
        "person  $ claude-secrets get STRIPE_KEY",
        "On disk:",
    ]
    places = [done.stdout.index(step) for step in steps]
    assert places == sorted(places), done.stdout
