"""The files under .github: permissions, pinned actions, Python versions, and texts for people who report."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(not (ROOT / ".github").is_dir(), reason="a source distribution has no .github")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = [ROOT / ".github" / "ISSUE_TEMPLATE" / name for name in ("bug.yml", "feature.yml")]
FILES = sorted(path for path in (ROOT / ".github").rglob("*") if path.is_file())
TOKENS = {
    "attest": {"contents": "read", "id-token": "write", "attestations": "write"},
    "publish": {"id-token": "write"},
}
"""The jobs that may do more than read, and what they may do."""


def load(path: Path) -> dict[str, Any]:
    data = yaml.safe_load(path.read_text("utf-8"))
    assert isinstance(data, dict)
    return data


def jobs(name: str) -> dict[str, Any]:
    found = load(ROOT / ".github" / "workflows" / name)["jobs"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_unless_a_job_says_more(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    more = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert more == (TOKENS if path.name == "release.yml" else {})


@pytest.mark.parametrize("name", TOKENS)
def test_a_job_with_more_rights_runs_nothing_of_the_repository(name: str) -> None:
    for step in jobs("release.yml")[name]["steps"]:
        assert "run" not in step
        assert not step["uses"].startswith(("actions/checkout@", "./"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_an_action_is_pinned_to_a_commit_with_its_version(path: Path) -> None:
    uses = re.findall(r"uses: (.+)$", path.read_text("utf-8"), re.MULTILINE)
    assert uses
    for action in uses:
        assert action.startswith("./") or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_checkout_leaves_no_token_behind_and_a_job_has_a_deadline(path: Path) -> None:
    for job in load(path)["jobs"].values():
        assert "timeout-minutes" in job or "uses" in job
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"] == {"persist-credentials": False}


def test_every_python_that_the_package_names_is_tested() -> None:
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["classifiers"]
    named = [match[1] for each in classifiers if (match := re.fullmatch(r".* :: (3\.\d+)", each))]
    ci = jobs("ci.yml")
    whole = re.search(r"python:(3\.\d+)-", ci["everything"]["container"]["image"])
    assert whole
    assert sorted([whole[1], *ci["tests"]["strategy"]["matrix"]["python"]]) == sorted(named)


def test_the_oldest_and_the_newest_python_are_tested_on_the_other_systems() -> None:
    ci = jobs("ci.yml")
    whole = re.search(r"python:(3\.\d+)-", ci["everything"]["container"]["image"])
    assert whole
    matrix = ci["systems"]["strategy"]["matrix"]
    assert [name.partition("-")[0] for name in matrix["system"]] == ["windows", "macos"]
    assert matrix["python"] == [whole[1], ci["tests"]["strategy"]["matrix"]["python"][-1]]


def test_only_the_file_that_removes_its_entries_may_use_a_runners_credential_manager() -> None:
    steps = [step for name in ("ci.yml", "release.yml") for job in jobs(name).values() for step in job.get("steps", [])]
    (step,) = [step for step in steps if "TESTS_CREDENTIAL_MANAGER" in step.get("env", {})]
    assert step["if"] == "runner.os == 'Windows'"
    assert step["run"] == "python -m pytest tests/windows/test_credential_manager.py"
    assert "TESTS_CREDENTIAL_MANAGER" in (ROOT / step["run"].split()[-1]).read_text("utf-8")


def test_git_changes_no_line_ends_on_windows() -> None:
    assert (ROOT / ".gitattributes").read_text("utf-8").splitlines()[-1] == "* -text"


def test_a_release_waits_for_the_tests_and_the_attestation() -> None:
    release = jobs("release.yml")
    assert release["ci"]["uses"] == "./.github/workflows/ci.yml"
    assert release["attest"]["needs"] == ["ci", "build"]
    assert release["publish"]["needs"] == "attest"
    assert release["publish"]["environment"] == "pypi"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_names_no_host(path: Path) -> None:
    assert not re.search(r"://|\b[\w-]+\.(?:com|org|io|net|dev)\b", path.read_text("utf-8"))


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_warns_of_credentials_and_asks_again_before_it_is_sent(path: Path) -> None:
    first, *_, last = load(path)["body"]
    assert "Never paste a real credential" in first["attributes"]["value"]
    assert all(option["required"] for option in last["attributes"]["options"])
    assert "no real credential" in last["attributes"]["options"][0]["label"]


@pytest.mark.parametrize("name", ["ISSUE_TEMPLATE/bug.yml", "ISSUE_TEMPLATE/config.yml", "pull_request_template.md"])
def test_a_vulnerability_is_sent_to_the_private_report(name: str) -> None:
    assert "SECURITY.md" in (ROOT / ".github" / name).read_text("utf-8")
