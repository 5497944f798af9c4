"""Where Claude Secrets keeps the person's files on Windows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from claude_secrets import windows_package

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="this is not Windows")

SHOW = """
import sys
from pathlib import Path
from claude_secrets import paths, windows_package, windows_profile
for found in (paths.default_store(), paths.usual_store(None), *paths.own_directories(), paths.account_home(),
              windows_package.package_name(), windows_package.private_to(Path(sys.argv[1]))):
    print(found)
"""


def shown(**changes: str | None) -> list[str]:
    """Return what a process sees whose environment differs from this one's by the changes; None removes a variable."""
    environment = {name: value for name, value in {**os.environ, **changes}.items() if value is not None}
    in_appdata = str(Path(os.environ["LOCALAPPDATA"]) / "claude-secrets" / "secrets.db")
    done = subprocess.run(
        [sys.executable, "-P", "-c", SHOW, in_appdata],
        env=environment,
        stdin=subprocess.PIPE,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def account() -> str:
    """The profile that Windows names. The environment of the tests names another one."""
    home = shown()[4]
    assert home != os.environ["USERPROFILE"]
    return home


def test_everything_is_in_the_profile_and_nothing_in_appdata(account: str) -> None:
    own = Path(account) / ".claude-secrets"
    store = str(own / "secrets.db")
    assert shown(USERPROFILE=account)[:5] == [store, store, str(own), "None", account]


@pytest.mark.parametrize("variable", ["LOCALAPPDATA", "APPDATA"])
def test_appdata_moves_nothing(variable: str, tmp_path: Path) -> None:
    assert shown(**{variable: str(tmp_path)}) == shown()


def test_another_profile_in_the_environment_adds_a_directory_and_replaces_none(account: str, tmp_path: Path) -> None:
    usual, other = shown(USERPROFILE=account), tmp_path / ".claude-secrets"
    assert shown(USERPROFILE=str(tmp_path))[:5] == [str(other / "secrets.db"), *usual[1:3], str(other), account]


def test_without_a_profile_in_the_environment_windows_names_it(account: str) -> None:
    assert shown(USERPROFILE=None, HOMEDRIVE=None, HOMEPATH=None) == shown(USERPROFILE=account)


def test_outside_a_package_a_store_in_appdata_is_shared() -> None:
    assert shown()[5:] == ["None", "None"]


@pytest.mark.parametrize("prefix", ["", "\\\\?\\", "//?/", "\\\\.\\"])
def test_appdata_is_recognised_in_every_spelling(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_package, "package_name", lambda: "a package")
    appdata = Path(os.environ["LOCALAPPDATA"])
    for spelled in (str(appdata), str(appdata).upper(), str(appdata).lower()):
        assert windows_package.private_to(Path(f"{prefix}{spelled}\\new\\secrets.db")) == "a package"
    assert windows_package.private_to(Path(f"{prefix}{appdata.parent.parent.parent}\\secrets.db")) is None
