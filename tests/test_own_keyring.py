"""The tests never use the developer's own keyring: on macOS and Windows a process of the tests cannot reach it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.machine import DEADLINE
from tests.support.program import OWN_KEYRINGS, bar_own_keyring

# A stand-in is the developer's keyring on every system, so that only the bar can keep the program from it.
IMPORTS = """
import sys, types
module, _, name = sys.argv[2].rpartition(".")
entries = {}
class StandIn:
    def get_password(self, service, user):
        return entries.get((service, user))
    def set_password(self, service, user, text):
        entries[service, user] = text
sys.modules[module] = types.ModuleType(module)
setattr(sys.modules[module], name, StandIn)
from tests.support.program import bar_own_keyring
if sys.argv[3] == "barred":
    bar_own_keyring(sys.argv[1])
from claude_secrets.errors import SecretsError
from claude_secrets.keys.custody import Custody
from claude_secrets.keys.cipher import DataKey
try:
    Custody(environment={}, platform=sys.argv[1]).new_keyring_slot("store", DataKey.generate()).place_key()
except SecretsError as error:
    print(error.code)
print(len(entries), "entries")
"""

STARTS = """
import os, subprocess, sys
from tests.support.program import bar_own_keyring
bar_own_keyring(sys.argv[1])
words = ["/usr/bin/security", "help"]
ways = {
    "subprocess": lambda: subprocess.run(words, capture_output=True),
    "another first word": lambda: subprocess.run(["s"], executable=words[0], capture_output=True),
    "exec": lambda: os.execv(words[0], words),
    "another program": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
}
for name, way in ways.items():
    try:
        way()
    except PermissionError as error:
        print(name, error)
    except OSError:
        print(name, "was started")
"""


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(("platform", "backend"), [("darwin", "Keyring"), ("win32", "WinVaultKeyring")])
def test_a_barred_process_finds_no_keyring(platform: str, backend: str) -> None:
    assert run(IMPORTS, platform, f"{OWN_KEYRINGS[platform]}.{backend}", "barred") == "KEYRING_UNAVAILABLE\n0 entries\n"


def test_a_process_that_is_not_barred_would_reach_the_keyring() -> None:
    assert run(IMPORTS, "win32", f"{OWN_KEYRINGS['win32']}.WinVaultKeyring", "not barred") == "1 entries\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no keychain program")
def test_the_keychains_program_is_not_started_and_others_are() -> None:
    refused = "Tests do not use the developer's own keychain."
    assert run(STARTS, "darwin").splitlines() == [
        f"{name} {refused}" for name in ("subprocess", "another first word", "exec")
    ]


def test_this_process_is_barred_where_the_keyring_is_the_developers_own() -> None:
    barred = {module for module in OWN_KEYRINGS.values() if sys.modules.get(module, "") is None}
    assert barred == ({OWN_KEYRINGS[sys.platform]} if sys.platform in OWN_KEYRINGS else set())


def test_the_bar_stays_away_from_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(sys.modules)
    bar_own_keyring("linux")
    assert sys.modules == before
