"""`policy` checks and explains rules."""

import json

import pytest

from tests.support.machine import Machine

pytestmark = pytest.mark.usefixtures("quick_starts")


def test_policy_check_reads_the_environments_directory_too(machine: Machine) -> None:
    other = machine.home / "other" / "claude-secrets"
    other.mkdir(parents=True)
    environment = {"XDG_CONFIG_HOME": str(other.parent)}
    (other / "policy.yml").write_text('version: "1"\ndefault: deny\n')
    said = machine.run("policy", "check", environment=environment).stdout.splitlines()
    own = machine.home / ".config/claude-secrets"
    assert said[-2:] == [
        f"{own}: there is no policy.yml and no policy.json; the built-in limits apply",
        f"{other / 'policy.yml'}: valid, 0 rules, denies by default",
    ]
    explained = machine.run("policy", "explain", "get_secret", "A", at=machine.project("api"), environment=environment)
    assert (
        explained.returncode,
        "Refused by your environment's policy: refuse a tool that has no entry" in explained.stdout,
    ) == (3, True)


def test_a_policy_is_checked_and_explained(machine: Machine) -> None:
    project = machine.project("api")
    rules = [
        {"name": "dev", "conditions": [{"path": "args.name", "op": "regex", "value": "^DEV_"}]},
        {"name": "ask", "action": "require_approval"},
    ]
    policy = {"version": "1", "default": "allow", "hide": ["delete_secret"], "tools": {"get_secret": {"rules": rules}}}
    (project / ".claude" / "secrets.yml").write_text(json.dumps({"allow": ["DEV_*", "PROD"], "policy": policy}))
    checked = machine.run("policy", "check", at=project)
    assert (checked.returncode, "2 rules, allows by default, hides delete_secret" in checked.stdout) == (0, True)
    denied = machine.run("policy", "explain", "get_secret", "PROD", at=project)
    assert (denied.returncode, denied.stdout.splitlines()) == (
        3,
        [
            "allowlist: allowed by PROD",
            "this project's policy: refuse unless the name matches ^DEV_ -> refuses    (/tools/get_secret/rules/dev)",
            "this project's policy: ask the person at every call -> asks you    (/tools/get_secret/rules/ask)",
            "Refused by this project's policy: refuse unless the name matches ^DEV_.",
        ],
    )
    allowed = machine.run("policy", "explain", "get_secret", "DEV_A", at=project)
    assert (
        allowed.returncode,
        "Allowed for secrets that this project stored itself or has a grant on; you are asked first." in allowed.stdout,
    ) == (0, True)
    assert machine.run("policy", "explain", "get_secret", "OTHER", at=project).returncode == 3
    assert (
        "Refused by this project's policy: the tool is hidden."
        in machine.run("policy", "explain", "delete_secret", "DEV_A", at=project).stdout
    )
    said = machine.run("policy", "explain", "set_secret", "DEV_A", at=project).stdout
    assert "the built-in policy: at most 30 calls a minute -> counts the call" in said
    assert (
        machine.run("policy", "check", ".claude/secrets.yml", at=project).stdout
        == checked.stdout.splitlines()[0] + "\n"
    )
    bad = machine.home / "bad.json"
    bad.write_text('{"version": "1",\n\t"default": "allow", "state": {}}')
    done = machine.run("policy", "check", str(bad))
    assert (done.returncode, "(line 2, column 22).\n" in done.stderr) == (3, True)
    done = machine.run("policy", "check", str(machine.home / "none.yml"))
    assert (done.returncode, "There is no file at that path." in done.stderr) == (2, True)


def test_policy_check_reads_an_allowlist_as_an_allowlist(machine: Machine) -> None:
    project = machine.project("api", ["A", "B_*"])
    inside, draft = project / ".claude" / "secrets.yml", machine.home / "draft.yml"
    words = "valid, allowlist with 2 entries, policy with 0 rules, allows by default"
    for path in (inside, draft):
        draft.write_text("allow: [A, B_*]\n")
        done = machine.run("policy", "check", str(path))
        assert (done.returncode, done.stdout) == (0, f"{path}: {words}\n")
    inside.write_text("allow: [A]\nalow: [B]\n")
    draft.write_text("allow: [A]\nalow: [B]\n")
    problem = "unknown key; the keys are scope, allow, policy and x-… (line 2, column 1)."
    for path, name, effect in (
        (inside, ".claude/secrets.yml", " Everything is denied until it is fixed."),
        (draft, "draft.yml", ""),
    ):
        done = machine.run("policy", "check", str(path))
        assert done.stderr.splitlines()[0] == f"error: [ALLOWLIST_INVALID] {name} is invalid: {problem}{effect}"
    own = machine.home / ".config" / "claude-secrets" / "policy.yml"
    own.write_text("version: 2\n")
    assert "Everything is denied" in machine.run("policy", "check", str(own)).stderr
    inside.write_text("")  # an empty allowlist is valid, but an empty policy is not
    assert machine.run("policy", "check", str(inside)).returncode == 0
