"""`scan` finds stored values where they should not be, and says where without saying what."""

import base64
import json
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_secrets.leaks import Leak, leaks_in
from claude_secrets.redaction import Finder
from tests.machine import Machine

VALUE = "canary/" + "q7Rt+" * 9
SCOPED = "canary-in-another-scope"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path).use_key_file()
    machine.run("set", "TOKEN", stdin=VALUE)
    machine.run("set", "SCOPED", "--scope", "acme", stdin=SCOPED)
    machine.run("set", "TINY", stdin="tiny")
    return machine


def scan(machine: Machine, *arguments: str, at: Path | None = None) -> list[tuple[str, int, str]]:
    """What is found; checks code, and that no value is said."""
    done = machine.run("scan", "--json", *arguments, at=at)
    found = [(one["where"], one["line"], one["name"]) for one in json.loads(done.stdout)]
    assert done.returncode == (3 if found else 0), done.stderr
    plain = machine.run("scan", *arguments, at=at)
    for text in (done.stdout, done.stderr, plain.stdout, plain.stderr):
        assert "canary" not in text
    assert all(f"{where}:{line}" in plain.stdout for where, line, _ in found)
    return found


def git(at: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=at, check=True, capture_output=True, text=True, timeout=30
    ).stdout


def test_values_in_files_are_found_in_every_form_with_their_line(machine: Machine) -> None:
    place = machine.home / "work"
    (place / "deep" / ".hidden").mkdir(parents=True)
    (place / "plain.txt").write_text(f"one\ntwo {VALUE}\nthree {VALUE} {VALUE}\n")
    (place / "deep" / ".hidden" / "base64").write_bytes(b"\0\n" * 5 + base64.encodebytes(f"x{VALUE}".encode()))
    (place / "hex.bin").write_bytes(b"\xff" * 3_000_000 + b"\n" + SCOPED.encode().hex().encode())
    (place / "clean").write_text(f"{VALUE[:-1]}\ntiny\n")
    (place / "link").symlink_to(place / "plain.txt")
    assert scan(machine, str(place)) == [
        (str(place / "deep" / ".hidden" / "base64"), 6, "TOKEN"),
        (str(place / "hex.bin"), 2, "acme/SCOPED"),
        (str(place / "plain.txt"), 2, "TOKEN"),
        (str(place / "plain.txt"), 3, "TOKEN"),
    ]
    assert [one[1:] for one in scan(machine, "plain.txt", at=place)] == [(2, "TOKEN"), (3, "TOKEN")]
    assert len(scan(machine, at=place)) == 4
    said = machine.run("scan", str(place))
    assert "to be replaced where they are used, and here: TOKEN, acme/SCOPED" in said.stderr
    assert "values of fewer than 6 characters (1)" in said.stderr


def test_nothing_found_is_code_0_and_the_store_itself_is_no_leak(machine: Machine) -> None:
    assert scan(machine, str(machine.home)) == []
    assert machine.run("scan", str(machine.home)).stdout == "No stored value was found.\n"


@pytest.mark.parametrize("arguments", [["no-such-file"], ["--git"], ["--staged"], ["--transcripts"]])
def test_what_cannot_be_looked_through_is_an_error(machine: Machine, arguments: list[str]) -> None:
    done = machine.run("scan", *arguments)
    assert (done.returncode, done.stdout, done.stderr.split()[1]) == (2, "", "[INVALID_ARGUMENTS]")


def test_history_is_looked_through_however_it_was_left_behind(machine: Machine) -> None:
    place = machine.home / "repository"
    place.mkdir()
    git(place, "init", "--quiet")
    (place / "a.env").write_text(f"\nA={VALUE}\n")
    git(place, "add", ".")
    git(place, "commit", "--quiet", "-m", "begin")
    first = git(place, "rev-parse", "--short", "HEAD").strip()
    (place / "a.env").write_text("A=secret://TOKEN\n")
    git(place, "commit", "--quiet", "-am", f"take {SCOPED} out")
    (place / "b").write_text(f"amended {VALUE}")
    git(place, "add", ".")
    git(place, "commit", "--quiet", "-m", "b")
    (place / "b").unlink()
    git(place, "add", ".")
    git(place, "commit", "--quiet", "--amend", "--allow-empty", "-m", "nothing")
    assert scan(machine, str(place)) == []
    found = scan(machine, "--git", at=place)
    assert (f"a.env (commit {first})", 2, "TOKEN") in found
    assert [name for where, _, name in found if where.startswith("git object")] == ["acme/SCOPED"]
    assert any(where.startswith("b (commit") for where, _, _ in found)
    assert len(found) == 3


def test_what_the_next_commit_would_bring_in(machine: Machine) -> None:
    place = machine.home / "repository"
    place.mkdir()
    git(place, "init", "--quiet")
    (place / "old").write_text(VALUE)
    git(place, "add", ".")
    git(place, "commit", "--quiet", "-m", "begin")
    assert scan(machine, "--staged", at=place) == []
    (place / "new file").write_text(f"\n\n{VALUE}")
    (place / "not added").write_text(VALUE)
    git(place, "add", "new file")
    (place / "new file").write_text("clean now")
    git(place, "rm", "--quiet", "old")
    assert scan(machine, "--staged", at=place) == [("new file (staged)", 3, "TOKEN")]


def test_transcripts_hold_values_in_json(machine: Machine) -> None:
    place = machine.home / ".claude" / "projects" / "p"
    place.mkdir(parents=True)
    encoded = base64.encodebytes(VALUE.encode() * 3).decode()
    lines = [{"a": 1}, {"content": json.dumps({"out": f"x\n{encoded}\n"})}, {"b": VALUE}]
    (place / "s.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [one[1:] for one in scan(machine, "--transcripts")] == [(2, "TOKEN"), (3, "TOKEN")]


def test_nothing_that_a_repository_configures_is_run(machine: Machine) -> None:
    place = machine.home / "hostile"
    place.mkdir()
    git(place, "init", "--quiet")
    (place / ".gitattributes").write_text("* diff=x filter=x\n")
    (place / "a").write_text(VALUE)
    git(place, "add", ".")
    git(place, "commit", "--quiet", "-m", "begin")
    (place / "c").write_text(f"{VALUE} again")
    git(place, "add", ".")
    touch = f"touch {place / 'was-run'}"
    for key in ("core.fsmonitor", "diff.external", "diff.x.command", "diff.x.textconv", "core.pager", "core.sshCommand",
                "filter.x.smudge", "filter.x.clean", "core.hooksPath", "core.alternateRefsCommand"):  # fmt: skip
        git(place, "config", key, touch)
    (place / "git").write_text(f"#!/bin/sh\n{touch}\n")
    (place / "git").chmod(0o755)
    path = {"PATH": f"{place}:{machine.environment['PATH']}"}
    done = machine.run("scan", "--json", "--git", "--staged", at=place, environment=path)
    found = json.loads(done.stdout)
    assert len(found) == 3
    assert not (place / "was-run").exists()


@given(
    lines=st.lists(st.sampled_from(["", "x", "abcdefgh", "-abcdefgh-", "YWJjZGVmZ2g=", "abcd"]), max_size=12),
    cuts=st.lists(st.integers(0, 80), max_size=6),
)
def test_lines_are_the_same_in_any_pieces(lines: list[str], cuts: list[int]) -> None:
    data = "\n".join(lines).encode()
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[start:end] for start, end in pairwise(places)]
    found = list(leaks_in(Finder({"T": "abcdefgh"}), pieces))
    assert found == list(leaks_in(Finder({"T": "abcdefgh"}), [data]))
    wanted = [number for number, line in enumerate(lines, start=1) if "abcdefgh" in line or "YWJj" in line]
    assert [one for one in found if one.line in wanted] == [Leak(number, "T") for number in wanted]
