"""`scan` finds stored values where they should not be, and shows the places without the values."""

import base64
import json
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_secrets.redaction.contents import IN_NAME
from claude_secrets.redaction.finder import Finder
from claude_secrets.redaction.leaks import Leak, leaks_in
from tests.support.machine import PROGRAM, Machine
from tests.support.posix import is_root, make_pipe

pytestmark = pytest.mark.usefixtures("quick_starts")

VALUE = "canary/" + "q7Rt+" * 9
SCOPED = "canary-in-another-scope"


@pytest.fixture(name="machine")
def machine_with_secrets(machine: Machine) -> Machine:
    machine.keep("TOKEN", VALUE)
    machine.keep("SCOPED", SCOPED, scope="acme")
    machine.keep("TINY", "tiny")
    return machine


def scan(machine: Machine, *arguments: str, at: Path | None = None) -> list[tuple[str, int, str]]:
    """Return the places found. Check the exit code, and that no value is shown."""
    done = machine.run("scan", "--json", *arguments, at=at)
    found = [(one["where"], one["line"], one["name"]) for one in json.loads(done.stdout)["found"]]
    assert done.returncode == (3 if found else 0), done.stderr
    plain = machine.run("scan", *arguments, at=at)
    for text in (done.stdout, done.stderr, plain.stdout, plain.stderr):
        assert "canary" not in text
    assert all((f"{where}:{line}" if line else f"{where}, in its name") in plain.stdout for where, line, _ in found)
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
    assert "replace these secrets at the services that use them, and in the store: TOKEN, acme/SCOPED" in said.stderr
    assert "1 stored value of fewer than 6 characters" in said.stderr


def test_nothing_found_is_code_0_and_the_store_itself_is_no_leak(machine: Machine) -> None:
    assert scan(machine, str(machine.home)) == []
    assert machine.run("scan", str(machine.home)).stdout == "No stored value of 6 characters or more was found.\n"


@pytest.mark.parametrize("arguments", [["no-such-file"], ["--git"], ["--staged"], ["--transcripts"]])
def test_what_cannot_be_looked_through_is_an_error(machine: Machine, arguments: list[str]) -> None:
    done = machine.run("scan", *arguments)
    assert (done.returncode, done.stdout, done.stderr.split()[1]) == (2, "", "[INVALID_ARGUMENTS]")


LOGS = ("HEAD", "refs/heads/main")


def test_history_is_looked_through_however_it_was_left_behind(machine: Machine) -> None:
    place = machine.home / "repository"
    place.mkdir()
    git(place, "init", "--quiet")
    (place / "a.env").write_text(f"\nA={VALUE}\n")
    git(place, "add", ".")
    git(place, "commit", "--quiet", "-m", "begin")
    first = git(place, "rev-parse", "--short=12", "HEAD").strip()
    (place / "a.env").write_text("A=secret://TOKEN\n")
    git(place, "commit", "--quiet", "-am", f"take {SCOPED} out")
    (place / "b").write_text(f"amended {VALUE}")
    git(place, "add", ".")
    git(place, "commit", "--quiet", "-m", "b")
    (place / "b").unlink()
    git(place, "add", ".")
    git(place, "commit", "--quiet", "--amend", "--allow-empty", "-m", "nothing")
    assert scan(machine, str(place)) == [(str(place / ".git" / "logs" / branch), 2, "acme/SCOPED") for branch in LOGS]
    found = scan(machine, "--git", at=place)
    assert (f"a.env (commit {first})", 2, "TOKEN") in found
    assert [name for where, _, name in found if where.startswith("git object")] == ["acme/SCOPED"]
    assert any(where.startswith("b (commit") for where, _, _ in found)
    assert len(found) == 3


def test_what_nothing_reaches_any_more_is_looked_through(machine: Machine) -> None:
    place = machine.home / "repository"
    place.mkdir()
    git(place, "init", "--quiet")
    (place / "lost").write_text(VALUE)
    number = git(place, "hash-object", "-w", "lost").strip()
    assert scan(machine, "--git", at=place) == [(f"git object {number[:12]}", 1, "TOKEN")]
    (place / "lost").unlink()
    git(place, "remote", "add", "origin", f"https://x:{SCOPED}@example.com/a.git")
    config = place / ".git" / "config"
    line = next(n for n, text in enumerate(config.read_text().splitlines(), start=1) if SCOPED in text)
    assert scan(machine, str(place)) == [(str(config), line, "acme/SCOPED")]


def test_values_in_names_are_found_and_not_shown(machine: Machine) -> None:
    place = machine.home / "repository"
    (place / f"d-{SCOPED}" / "deep").mkdir(parents=True)
    for name in ("a", f"b {SCOPED}.txt", "deep/c", "deep/d"):
        (place / f"d-{SCOPED}" / name).write_text(SCOPED if name == "a" else "")
    shown = f"{place}/d-[secret://acme/SCOPED]"
    names = [(shown, IN_NAME, "acme/SCOPED"), (f"{shown}/b [secret://acme/SCOPED]", IN_NAME, "acme/SCOPED")]
    assert scan(machine, str(place)) == [*names, (f"{shown}/a", 1, "acme/SCOPED")]
    git(place, "init", "--quiet")
    git(place, "add", ".")
    assert {where for where, line, _ in scan(machine, "--staged", at=place) if not line} == {
        "d-[secret://acme/SCOPED]",
        "d-[secret://acme/SCOPED]/b [secret://acme/SCOPED]",
    }
    git(place, "commit", "--quiet", "-m", "begin")
    git(place, "branch", f"fix/{SCOPED}")
    found = scan(machine, "--git", at=place)
    assert ("refs/heads/fix/[secret://acme/SCOPED]", IN_NAME, "acme/SCOPED") in found


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_what_powershell_writes_is_read(machine: Machine, encoding: str) -> None:
    (machine.home / "out.txt").write_bytes(f"\ufeffone\r\n\u00e9 {VALUE}\r\n".encode(encoding))
    assert scan(machine, "out.txt", at=machine.home) == [(str(machine.home / "out.txt"), 2, "TOKEN")]


def test_what_is_no_file_is_an_error_and_what_is_closed_is_told(machine: Machine) -> None:
    make_pipe(machine.home / "pipe")
    done = machine.run("scan", "pipe", at=machine.home)
    assert (done.returncode, "neither a file nor a directory" in done.stderr) == (2, True)
    (machine.home / "closed").mkdir(mode=0)
    done = machine.run("scan", str(machine.home))
    assert ("1 directories could not be read" in done.stderr) == (not is_root())


@pytest.mark.parametrize("words", [["-a"], ["file"], ["--include", "file"], []])
def test_as_a_hook_before_a_commit_it_sees_what_that_commit_brings_in(machine: Machine, words: list[str]) -> None:
    place = machine.home / "repository"
    (place / "sub").mkdir(parents=True)
    git(place, "init", "--quiet")
    (place / "file").write_text("clean")
    git(place, "add", ".")
    git(place, "commit", "--quiet", "-m", "begin")
    hook = place / ".git" / "hooks" / "pre-commit"
    hook.write_text(f"#!/bin/sh\nexec {shlex.join(PROGRAM)} scan --staged\n")
    hook.chmod(0o755)
    (place / "file").write_text(VALUE)
    if not words:
        git(place, "add", "file")
        git(place, "config", "diff.relative", "true")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    done = subprocess.run(
        ["git", *identity, "commit", "-m", "x", *(f"../{word}" if word == "file" else word for word in words)],
        cwd=place / "sub", capture_output=True, text=True, timeout=60, env=machine.environment, check=False,
    )  # fmt: skip
    assert (done.returncode, "file (staged):1  TOKEN" in done.stdout + done.stderr) == (1, True), done.stderr
    assert [one[2] for one in scan(machine, "--staged", at=place / "sub")] == ([] if words else ["TOKEN"])


def test_a_partial_clone_fetches_nothing_and_says_so(machine: Machine) -> None:
    origin, place = machine.home / "origin", machine.home / "clone"
    origin.mkdir()
    git(origin, "init", "--quiet")
    git(origin, "config", "uploadpack.allowFilter", "true")
    (origin / "a").write_text(VALUE)
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "-m", f"begin {VALUE}")
    git(machine.home, "clone", "--quiet", "--no-checkout", "--filter=blob:none", f"file://{origin}", str(place))
    git(place, "config", "remote.origin.uploadpack", f"touch {place}/was-run; git-upload-pack")
    done = machine.run("scan", "--json", "--git", at=place)
    said = json.loads(done.stdout)
    assert [one["name"] for one in said["found"]] == ["TOKEN"]
    assert said["not_looked_through"] == [{"where": "git objects (1)", "why": "not-fetched"}]
    blob = git(origin, "rev-parse", "HEAD:a").strip()
    git(place, "read-tree", "HEAD")
    git(place, "update-index", "--add", "--cacheinfo", f"100644,{blob},b")
    done = machine.run("scan", "--staged", at=place)
    assert (done.returncode, "  b (staged): git does not have it" in done.stderr) == (5, True)
    assert not (place / "was-run").exists()


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
    touch = str(place / "touch")
    Path(touch).write_text(f"#!/bin/sh\ntouch {place / 'was-run'}\n")
    Path(touch).chmod(0o755)
    for key in ("core.fsmonitor", "diff.external", "diff.x.command", "diff.x.textconv", "core.pager", "core.sshCommand",
                "filter.x.smudge", "filter.x.clean", "core.hooksPath", "core.alternateRefsCommand",
                "gpg.program", "gpg.ssh.program"):  # fmt: skip
        git(place, "config", key, touch)
    git(place, "config", "log.showSignature", "true")
    signed = git(place, "cat-file", "commit", "HEAD").replace(
        "\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n eA==\n -----END PGP SIGNATURE-----\n\n", 1
    )
    (place / ".git" / "signed").write_text(signed)
    git(place, "update-ref", "HEAD", git(place, "hash-object", "-w", "-t", "commit", ".git/signed").strip())
    git(place, "log")
    assert (place / "was-run").exists()  # the trap works: plain git runs the program
    (place / "was-run").unlink()
    (place / "git").write_text(f"#!/bin/sh\n{touch}\n")
    (place / "git").chmod(0o755)
    path = {"PATH": f"{place}:{machine.environment['PATH']}"}
    done = machine.run("scan", "--json", "--git", "--staged", at=place, environment=path)
    found = json.loads(done.stdout)["found"]
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


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
def test_a_note_takes_the_place_of_the_line_that_says_how_far_it_is(machine: Machine) -> None:
    from tests.support.terminals import Running

    (machine.home / "looked").mkdir()
    (machine.home / "looked" / "file").write_text("text")
    line = [*PROGRAM, "scan", "looked", "--skip", "*.7z"]
    with Running(line, machine.home, machine.environment) as running:
        before = running.see("Left out by --skip")
        assert re.search(r"\d of \d+\r?\x1b\[KLeft out by", before), before
        assert running.ended() == 0
