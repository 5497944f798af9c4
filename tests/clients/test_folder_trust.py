"""Gemini CLI's rules about the folders in which it starts servers."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from claude_secrets.clients.folder_trust import starts_servers_in
from claude_secrets.errors import CallerError
from tests.clients.test_known import account, client

GEMINI = client("gemini")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("work/api", ".gemini"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path / "work" / "api"


def starts(home: Path, project: Path, environment: Mapping[str, str] = {}) -> bool:
    return starts_servers_in(GEMINI, account(home, environment=environment), project)


def trust(home: Path, rules: Mapping[str, object]) -> None:
    rules = {str(home / path): level for path, level in rules.items()}
    (home / ".gemini" / "trustedFolders.json").write_text(f"// mine\n{json.dumps(rules)}")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, False),
        ({"work/api": "TRUST_FOLDER"}, True),
        ({"work": "TRUST_FOLDER"}, True),
        ({"work/api/src": "TRUST_FOLDER"}, False),
        ({"work/ap": "TRUST_FOLDER"}, False),
        ({"work/other": "TRUST_PARENT"}, True),
        ({"work": "TRUST_FOLDER", "work/api": "DO_NOT_TRUST"}, False),
        ({"work/api": "TRUST_FOLDER", "work": "DO_NOT_TRUST"}, True),
        ({"work/api": "UNKNOWN"}, False),
        ({"work/api": ["TRUST_FOLDER"]}, False),
    ],
)
def test_the_rule_with_the_longest_path_decides(
    tmp_path: Path, project: Path, rules: Mapping[str, object], expected: bool
) -> None:
    trust(tmp_path, rules)
    assert starts(tmp_path, project) is expected


def test_a_link_to_a_trusted_folder_is_trusted(tmp_path: Path, project: Path) -> None:
    trust(tmp_path, {"work/api": "TRUST_FOLDER"})
    (tmp_path / "link").symlink_to(project)
    assert starts(tmp_path, tmp_path / "link")


def test_nothing_is_trusted_before_the_person_was_asked(tmp_path: Path, project: Path) -> None:
    assert not starts(tmp_path, project)


def test_trust_can_be_switched_off_and_set_elsewhere(tmp_path: Path, project: Path) -> None:
    assert starts(tmp_path, project, {"GEMINI_CLI_TRUST_WORKSPACE": "true"})
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps({str(project): "TRUST_FOLDER"}))
    assert starts(tmp_path, project, {"GEMINI_CLI_TRUSTED_FOLDERS_PATH": str(elsewhere)})
    (tmp_path / ".gemini" / "settings.json").write_text('{"security": {"folderTrust": {"enabled": false}}}')
    assert starts(tmp_path, project)
    assert not starts(tmp_path, project, {"GEMINI_RESTRICTED_MODE": "true"})
    assert not starts(tmp_path, project, {"GEMINI_CLI_TRUST_WORKSPACE": "false"})


@pytest.mark.parametrize("text", ["{", '{"canary": ', "[1, 2"])
def test_a_broken_file_is_an_error_that_repeats_nothing(tmp_path: Path, project: Path, text: str) -> None:
    (tmp_path / ".gemini" / "trustedFolders.json").write_text(text)
    with pytest.raises(CallerError) as raised:
        starts(tmp_path, project)
    assert "canary" not in str(raised.value)


def test_other_clients_start_servers_everywhere(tmp_path: Path, project: Path) -> None:
    assert starts_servers_in(client("codex"), account(tmp_path), project)
