"""`scan` reports what it cannot search, with a separate exit code. It does not report anything else as such a gap."""

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from claude_secrets.cli.scan_outcome import LISTED, Outcome, ScannedPlace, Unseen, tell
from claude_secrets.exit_codes import PARTLY_SCANNED
from claude_secrets.redaction.finder import Finder
from claude_secrets.redaction.gap_reasons import Reason
from claude_secrets.redaction.leaks import Leak, leaks_in
from tests.cli.test_scan import SCOPED, VALUE, git
from tests.support.account import PROGRAM as INSTALLED
from tests.support.account import Account, account
from tests.support.machine import PROGRAM, Machine
from tests.support.posix import make_pipe, process_group, unix_socket
from tests.support.terminals import Bash

pytestmark = pytest.mark.usefixtures("quick_starts")

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="these are POSIX files")
SEALED = b"7z\xbc\xaf\x27\x1c" + bytes(50)


@pytest.fixture(name="machine")
def machine_with_secrets(machine: Machine) -> Machine:
    for name, value in (("TOKEN", VALUE), ("SCOPED", SCOPED)):
        machine.keep(name, value)
    return machine


@pytest.fixture
def repository(machine: Machine) -> Path:
    place = machine.home / "repository"
    place.mkdir()
    git(place, "init", "--quiet")
    return place


@pytest.fixture(scope="module")
def person(worker_id: str) -> Iterator[Account]:
    with account(f"cs-scan-{worker_id}") as person:
        for words in (["init", "--key-file", "keys/master.key"], ["set", "TOKEN"]):
            assert person.run(str(INSTALLED), *words, stdin=VALUE).returncode == 0
        yield person


def commit(place: Path, message: str = "x") -> str:
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(place, "rev-parse", "--short=12", "HEAD").strip()


def unseen(machine: Machine, *words: str, at: Path | None = None, stdin: str | None = None) -> list[tuple[str, str]]:
    """Return the places that were not searched, and why. Check that text, JSON and exit codes agree."""
    done = machine.run("scan", "--json", *words, at=at, stdin=stdin)
    said = json.loads(done.stdout)
    told = [(one["where"], one["why"]) for one in said["not_looked_through"]]
    assert done.returncode == (3 if said["found"] else PARTLY_SCANNED if told else 0), done.stderr
    plain = machine.run("scan", *words, at=at, stdin=stdin)
    assert plain.returncode == done.returncode
    for where, _ in told[:LISTED]:
        assert f"\n  {where}: " in plain.stderr
    for text in (done.stdout, done.stderr, plain.stdout, plain.stderr):
        assert "canary" not in text
    number = f"{len(told)} place{'s' * (len(told) != 1)} could not be looked through."
    assert (number in plain.stdout + plain.stderr) == bool(told)
    if not said["found"]:
        end = f" in what could be read; {number}\n" if told else ".\n"
        assert plain.stdout == f"No stored value was found{end}"
    return told


@POSIX
def test_files_and_directories_that_are_closed_are_named(person: Account) -> None:
    def scan() -> tuple[int, list[tuple[str, str]]]:
        done = person.run(str(INSTALLED), "scan", "--json", "place")
        told = [(one["where"], one["why"]) for one in json.loads(done.stdout)["not_looked_through"]]
        return done.returncode, told

    place = person.home / "place"
    file = person.write("place/deep/closed", "x", 0)
    assert scan() == (5, [(str(file), "unreadable")])
    plain = person.run(str(INSTALLED), "scan", "place")
    assert plain.stdout == "No stored value was found in what could be read; 1 place could not be looked through.\n"
    assert f"  {file}: it cannot be read\n" in plain.stderr
    (place / "deep").chmod(0)
    assert scan() == (5, [(str(place / "deep"), "unreadable")])
    (place / "deep").chmod(0o444)  # it can be listed but not entered
    assert scan() == (5, [(str(file), "unreadable")])
    assert person.run(str(INSTALLED), "scan", "place/deep/closed").returncode == 5
    other = person.write("place/open", VALUE)
    done = person.run(str(INSTALLED), "scan", "place")
    assert (done.returncode, f"{other}:1  TOKEN" in done.stdout) == (3, True)
    assert "1 place could not be looked through.\n" in done.stderr
    shutil.rmtree(place)


@POSIX
def test_closed_objects_of_git_are_named(person: Account) -> None:
    script = "git init -q r && cd r && git config user.name a && git config user.email a@b && echo x >f && git add f"
    assert person.run("sh", "-c", f"{script} && git commit -qm x && chmod 0 .git/objects/*/*").returncode == 0
    for words in (["--git"], ["--git", "--staged"]):
        done = person.run("sh", "-c", f"cd r && exec {INSTALLED} scan {' '.join(words)}")
        assert (done.returncode, "No stored value was found in what could be read" in done.stdout) == (5, True), done


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("value", ["canary-q7Rt+q7Rt", "pässwörd-größe", "emoji-😀-pass-😀"])
def test_wide_characters_are_read_at_any_offset(encoding: str, mark: str, value: str) -> None:
    finder = Finder({"T": value})
    for before in ("", "name\r\nother: ", "世界你好嬛\r\n崛起嬛", "\x00\x1b["):
        for offset in range(5):
            text = f"{mark}{before}{value}万\r\nrest"
            for data in (
                b"\xff\x80\x01\x02\x03"[:offset] + text.encode(encoding),
                text.encode(encoding) + b"\n\0\0" * 9,
            ):
                assert {leak.name for leak in leaks_in(finder, [data])} == {"T"}, (before, offset)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("size", [1000, 5001])
def test_a_value_in_wide_characters_is_found_once_across_pieces(encoding: str, size: int) -> None:
    finder = Finder({"T": "emoji-😀-pass-😀"})
    for offset in (0, 8):
        data = ("x\n" * 499 + "y" * offset + "emoji-😀-pass-😀\n" + "z\n" * 499).encode(encoding)
        at = data.index("emoji-".encode(encoding))
        pieces = [data[: at + 10], *(data[begin : begin + size] for begin in range(at + 10, len(data), size))]
        assert leaks_in(finder, pieces) == [Leak(500, "T")]


def test_lines_are_those_of_the_text_even_if_characters_hold_line_feeds() -> None:
    text = f"\ufeff上上\r\n上 {VALUE}\r\n"
    assert leaks_in(Finder({"T": VALUE}), [text.encode("utf-16-le")]) == [Leak(2, "T")]


def test_a_mark_of_utf_16_hides_no_plain_value() -> None:
    assert leaks_in(Finder({"T": VALUE}), [b"\xff\xfe\n" + VALUE.encode()]) == [Leak(2, "T")]


@POSIX
def test_a_file_that_shrinks_or_goes_while_it_is_read_is_named(machine: Machine) -> None:
    place = machine.home / "place"
    place.mkdir()
    pause = (
        "import os, sys\nfrom claude_secrets.cli import scan_files\n"
        "real = scan_files.open_plainly\n"
        "def open_plainly(path):\n"
        "    if path.name == 'gone': path.unlink()\n"
        "    file = real(path)\n"
        "    if path.name == 'short':\n"
        "        status, short = os.fstat(file.fileno()), file.fileno()\n"
        "        os.truncate(path, 5)\n"
        "        fstat = os.fstat\n"
        "        os.fstat = lambda number: status if number == short else fstat(number)\n"
        "    return file\n"
        "scan_files.open_plainly = open_plainly\n"
        "from tests.support.program import main\nmain()\n"
    )
    for name in ("gone", "short", "stays"):
        (place / name).write_text("x" * 100)
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-P", "-c", pause, "scan", "--json", str(place)],
        env={**machine.environment, "PYTHONPATH": root}, cwd=machine.home, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)["not_looked_through"]
    assert (done.returncode, [(Path(one["where"]).name, one["why"]) for one in told]) == (
        5, [("gone", "changed"), ("short", "changed")],
    )  # fmt: skip


@POSIX
def test_special_files_on_the_command_line_are_refused_with_what_to_do(machine: Machine) -> None:
    make_pipe(machine.home / "pipe")
    for path in ("pipe", "/dev/zero", "/dev/null"):
        done = machine.run("scan", path)
        assert (done.returncode, done.stdout) == (2, "")
        assert "scan -\n" in done.stderr


@POSIX
def test_a_walk_meets_special_files_and_links_and_only_counts_the_links(machine: Machine) -> None:
    place = machine.home / "place"
    place.mkdir()
    make_pipe(place / "pipe")
    (place / "dangling").symlink_to("nowhere")
    (place / "loop").symlink_to("loop")
    (place / "device").symlink_to("/dev/zero")
    with unix_socket() as listener:
        listener.bind(str(place / "s"))
        assert unseen(machine, str(place)) == []
    assert machine.run("scan", str(place)).stderr == "Not followed: 3 links.\n"
    assert machine.run("scan", "--skip", "[dl]*", str(place)).stderr == "Left out by --skip: 3 paths.\n"
    (place / "dangling").unlink()
    (place / "device").unlink()
    assert machine.run("scan", str(place)).stderr == "Not followed: 1 link.\n"
    (place / "loop").unlink()
    assert machine.run("scan", str(place)).stderr == ""


def test_a_directory_that_vanishes_troubles_nobody(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    from claude_secrets.cli.scan_files import Files, Skips, in_files

    place = machine.home / "place"
    (place / "deep").mkdir(parents=True)
    (place / "deep" / "file").write_text("x")
    files = Files(set(), Skips([]))
    files.add(place)
    shutil.rmtree(place / "deep")
    assert list(in_files(Finder({"T": VALUE}), files, lambda done, total: None)) == []


def test_standard_input_is_read_also_together_with_paths(machine: Machine) -> None:
    (machine.home / "file").write_text(VALUE)
    done = machine.run("scan", "--json", "-", "file", stdin=f"\n{VALUE}")
    found = [(one["where"], one["line"]) for one in json.loads(done.stdout)["found"]]
    assert (done.returncode, found) == (3, [("-", 2), (str(machine.home / "file"), 1)])
    assert unseen(machine, "-", stdin="nothing") == []
    packed = subprocess.run(
        [*PROGRAM, "scan", "-"], input=gzip.compress(VALUE.encode()), capture_output=True, env=machine.environment,
        cwd=machine.home, timeout=60, check=False,
    )  # fmt: skip
    assert (packed.returncode, b"-!:1" in packed.stdout) == (3, True)
    done = machine.run("scan", "-", "--passphrase-fd", "0", stdin="x")
    assert (done.returncode, "cannot provide both" in done.stderr) == (2, True)


@POSIX
def test_a_terminal_as_standard_input_is_refused(machine: Machine) -> None:
    from tests.support.terminals import PROMPT

    with Bash(machine.home, {**machine.environment, "PS1": PROMPT}, size=(30, 300)) as shell:
        said = shell.run(f"{' '.join(PROGRAM)} scan -; echo code=$?")
    assert "Standard input is a terminal" in said
    assert "code=2" in said


def loose(place: Path, number: str) -> Path:
    return place / ".git" / "objects" / number[:2] / number[2:]


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_a_loose_object_that_is_missing_or_damaged_is_named_and_the_rest_is_looked_through(
    machine: Machine, repository: Path, how: str
) -> None:
    for name, text in (("a", "aaa"), ("b", "bbb"), ("c", VALUE)):
        (repository / name).write_text(text)
    (repository / "sub").mkdir()
    (repository / "sub" / "d").write_text(f"d {SCOPED}")
    git(repository, "add", ".")
    for number, path in (("HEAD:b", "b"), ("HEAD:sub", ""), ("HEAD~1", "")):
        if number == "HEAD:b":
            assert staged(machine, repository, how) == (3, ["b (staged)"])
            commit(repository)
            commit(repository, "second")
        file = loose(repository, git(repository, "rev-parse", number).strip())
        file.chmod(0o644)
        if how == "missing":
            file.unlink()
        else:
            file.write_bytes(b"x" * 20)
        done = machine.run("scan", "--git", "--json", at=repository)
        said = json.loads(done.stdout)
        assert (done.returncode, {one["name"] for one in said["found"]}) == (3, {"TOKEN", "SCOPED"})
        assert said["not_looked_through"]
        assert not path or path in {one["where"].partition(" ")[0] for one in said["not_looked_through"]}


def staged(machine: Machine, place: Path, how: str) -> tuple[int, list[str]]:
    """Run `scan --staged` while git's object of the file `b` is missing or damaged, then restore the object."""
    file = loose(place, git(place, "rev-parse", ":b").strip())
    content = file.read_bytes()
    file.chmod(0o644)
    file.unlink()
    if how == "damaged":
        file.write_bytes(b"x" * 20)
    done = machine.run("scan", "--staged", "--json", at=place)
    file.write_bytes(content)
    return done.returncode, [one["where"] for one in json.loads(done.stdout)["not_looked_through"]]


def test_damage_in_a_pack_is_named_and_the_rest_is_looked_through(machine: Machine, repository: Path) -> None:
    (repository / "a").write_bytes(os.urandom(100_000))
    (repository / "b").write_text(VALUE)
    commit(repository)
    git(repository, "gc", "--quiet")
    (pack,) = repository.glob(".git/objects/pack/*.pack")
    pack.chmod(0o644)
    content = bytearray(pack.read_bytes())
    content[50_000:50_100] = bytes(100)
    pack.write_bytes(content)
    done = machine.run("scan", "--git", "--json", at=repository)
    said = json.loads(done.stdout)
    assert [one["where"].partition(" ")[0] for one in said["found"]] == ["b"]
    assert [one["where"].partition(" ")[0] for one in said["not_looked_through"]] == ["a"]


@pytest.mark.parametrize("how", ["damaged head", "damaged offset", "missing", "closed", "closed directory"])
@pytest.mark.parametrize("borrowed", [False, True])
def test_a_pack_whose_index_is_of_no_use_is_named(
    machine: Machine, repository: Path, how: str, *, borrowed: bool
) -> None:
    (repository / "a").write_text("x")
    commit(repository)
    git(repository, "repack", "-adq", "--write-midx", "--write-bitmap-index")
    place = repository
    if borrowed:
        place = machine.home / "clone"
        git(machine.home, "clone", "--quiet", "--shared", str(repository), str(place))
    assert unseen(machine, "--git", at=place) == []
    (index,) = repository.glob(".git/objects/pack/*.idx")
    content = bytearray(index.read_bytes())
    content[{"damaged head": 1}.get(how, -45)] ^= 1
    index.unlink()
    if how.startswith("damaged"):
        index.write_bytes(content)
    elif how == "closed":
        index.symlink_to(index)  # not even root can open it
    elif how == "closed directory":
        shutil.rmtree(index.parent)
        index.parent.symlink_to(index.parent)
    assert ("git history, as a whole", "damaged") in unseen(machine, "--git", at=place)


def test_a_shallow_clone_is_named_and_a_full_one_is_not(machine: Machine, repository: Path) -> None:
    (repository / "a").write_text("x")
    commit(repository)
    commit(repository, "second")
    for words, told in (["--depth=1"], [("git history before this shallow clone", "not-fetched")]), ([], []):
        shutil.rmtree(machine.home / "clone", ignore_errors=True)
        git(machine.home, "clone", "--quiet", *words, f"file://{repository}", "clone")
        assert unseen(machine, "--git", at=machine.home / "clone") == told


@POSIX
def test_a_git_that_hangs_is_ended_and_named(machine: Machine, repository: Path) -> None:
    (repository / "a").write_text("x")
    commit(repository)
    (repository / "b").write_text("x")
    git(repository, "add", "b")
    real = shutil.which("git")
    bin_ = machine.home / "bin"
    bin_.mkdir()
    for word, words, where in (
        ("cat-file --batch", ["--staged"], "b (staged)"),
        ("diff", ["--staged"], "staged files"),
        ("rev-list", ["--git"], "git history"),
    ):
        (bin_ / "git").write_text(
            f'#!/bin/sh\ncase "$* " in *" {word} "*) echo $$ >>{machine.home}/hung; sleep 1000;; esac\n'
            f'exec {real} "$@"\n'
        )
        (bin_ / "git").chmod(0o755)
        done = machine.run(
            "scan", "--json", *words, at=repository,
            environment={"PATH": f"{bin_}:{machine.environment['PATH']}", "TESTS_GIT_SECONDS": "3"},
        )  # fmt: skip
        assert done.returncode == 5, done.stderr
        assert {"where": where, "why": "no-answer"} in json.loads(done.stdout)["not_looked_through"]
    groups = {int(number) for number in (machine.home / "hung").read_text().split()}
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            assert process_group(process.pid) not in groups or process.status() == psutil.STATUS_ZOMBIE


def packed(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return out.getvalue()


def test_archives_are_looked_through_in_files_and_in_git(machine: Machine, repository: Path) -> None:
    (repository / "a.docx").write_bytes(packed("word/document.xml", b"\n" + VALUE.encode()))
    done = machine.run("scan", str(repository))
    assert f"{repository}/a.docx!/word/document.xml:2  TOKEN" in done.stdout
    git(repository, "add", ".")
    assert "a.docx!/word/document.xml (staged):2  TOKEN" in machine.run("scan", "--staged", at=repository).stdout
    number = commit(repository)
    done = machine.run("scan", "--git", at=repository)
    assert f"a.docx!/word/document.xml (commit {number}):2  TOKEN" in done.stdout


def test_a_hook_before_a_commit_passes_usual_binaries_and_names_sealed_ones(machine: Machine, repository: Path) -> None:
    png = b"\x89PNG\r\n\x1a\n" + os.urandom(3000)
    for name, content in {
        "a.png": png, "a.woff2": b"wOF2" + os.urandom(3000), "a.pdf": b"%PDF-1.7\n" + os.urandom(3000),
        "a.docx": packed("word/document.xml", b"<x/>"), "a.jar": packed("META-INF/MANIFEST.MF", b"x"),
    }.items():  # fmt: skip
        (repository / name).write_bytes(content)
    git(repository, "add", ".")
    assert unseen(machine, "--staged", at=repository) == []
    (repository / "vendor").mkdir()
    (repository / "vendor" / "a.7z").write_bytes(SEALED)
    git(repository, "add", ".")
    assert unseen(machine, "--staged", at=repository) == [("vendor/a.7z (staged)", "unsupported")]
    done = machine.run("scan", "--staged", at=repository)
    assert "hint: to exclude paths that you have checked: --skip GLOB\n" in done.stderr
    for glob in ("*.7z", "vendor", "vendor/", "vendor/*", "vendor/a.7z", "a.7z"):
        assert unseen(machine, "--staged", "--skip", glob, at=repository) == []
        done = machine.run("scan", "--staged", "--skip", "nothing", "--skip", glob, at=repository)
        assert "Left out by --skip: 1 path.\n" in done.stderr
    commit(repository)
    for words in ([], ["--git"], ["--git", "."]):
        assert len(unseen(machine, *words, at=repository)) == len(words or [1])
        assert unseen(machine, *words, "--skip", "*.7z", at=repository) == []


def test_what_is_skipped_at_one_path_is_told_at_another(machine: Machine, repository: Path) -> None:
    for name in ("a.fixture", "b"):
        (repository / name).write_text(VALUE)
    commit(repository)
    for skip in ("a.fixture", "b"):
        done = machine.run("scan", "--git", "--json", "--skip", skip, at=repository)
        (found,) = json.loads(done.stdout)["found"]
        assert found["where"].startswith({"b": "a.fixture", "a.fixture": "b"}[skip])


def test_every_path_of_a_content_in_history_is_told(machine: Machine, repository: Path) -> None:
    for name in ("a", "b"):
        (repository / name).write_text(VALUE)
    first = commit(repository)
    git(repository, "mv", "b", "renamed")
    second = commit(repository)
    git(repository, "mv", "renamed", "b")  # the old name again: the commit in which it first appeared is unchanged
    commit(repository)
    git(repository, "checkout", "--quiet", "-b", "side", first)
    commit(repository, "side")
    git(repository, "checkout", "--quiet", "-")
    git(repository, "merge", "--quiet", "--no-commit", "--no-ff", "side")
    (repository / "by merge").write_text(VALUE)
    merge = commit(repository, "merge")
    done = machine.run("scan", "--git", "--json", at=repository)
    assert sorted(one["where"] for one in json.loads(done.stdout)["found"]) == [
        f"a (commit {first})", f"b (commit {first})", f"by merge (commit {merge})", f"renamed (commit {second})",
    ]  # fmt: skip
    for number in range(LISTED + 5):
        (repository / f"copy{number:02}").write_text(f"again {VALUE}")
    commit(repository)
    found = json.loads(machine.run("scan", "--git", "--json", at=repository).stdout)["found"]
    copies = [one["where"] for one in found if one["where"].startswith("copy")]
    assert len(copies) == LISTED
    assert [where.endswith(", and 5 more paths)") for where in copies] == [False] * (LISTED - 1) + [True]


def test_a_name_of_a_content_that_has_another_name_too_is_found(machine: Machine, repository: Path) -> None:
    for name in ("a", SCOPED, "z"):
        (repository / name).write_text("the same")
    commit(repository)
    done = machine.run("scan", "--git", at=repository)
    assert (done.returncode, "[secret://SCOPED], in its name" in done.stdout) == (3, True)


def test_submodules_are_noted_and_are_no_gap(machine: Machine, repository: Path) -> None:
    (repository / "a").write_text("x")
    commit(repository)
    outer = machine.home / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{repository}", "inner")
    for words in (["--staged"], ["--git"]):
        assert unseen(machine, *words, at=outer) == []
        assert "1 submodule, because each is a separate repository" in machine.run("scan", *words, at=outer).stderr
        commit(outer)


def test_what_git_lfs_keeps_is_looked_through_if_it_is_here_and_named_if_not(
    machine: Machine, repository: Path
) -> None:
    number = "ab" * 32
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{number}\nsize {len(VALUE)}\n"
    (repository / "a.bin").write_text(pointer)
    git(repository, "add", ".")
    assert unseen(machine, str(repository)) == [(str(repository / "a.bin"), "in-git-lfs")]
    assert unseen(machine, "--staged", at=repository) == [("a.bin (staged)", "in-git-lfs")]
    kept = repository / ".git" / "lfs" / "objects" / "ab" / "ab"
    kept.mkdir(parents=True)
    (kept / number).write_text("nothing")
    assert unseen(machine, "--staged", at=repository) == []
    (kept / number).write_text(VALUE)
    assert "a.bin (staged):1  TOKEN" in machine.run("scan", "--staged", at=repository).stdout


def test_a_path_in_conflict_is_named(machine: Machine, repository: Path) -> None:
    (repository / "a").write_text("1")
    commit(repository)
    git(repository, "checkout", "--quiet", "-b", "side")
    (repository / "a").write_text("2")
    commit(repository)
    git(repository, "checkout", "--quiet", "-")
    (repository / "a").write_text("3")
    commit(repository)
    with pytest.raises(subprocess.CalledProcessError):
        git(repository, "merge", "--quiet", "side")
    assert unseen(machine, "--staged", at=repository) == [("a (staged)", "unmerged")]


def test_a_history_that_was_not_looked_through_is_said(machine: Machine, repository: Path) -> None:
    (repository / "a").write_text("x")
    commit(repository)
    said = f"Not looked through: the history of the git repository {repository}."
    assert unseen(machine, str(repository)) == []
    assert said in machine.run("scan", at=repository).stderr
    assert "Not looked through" not in machine.run("scan", "--git", ".", at=repository).stderr


def test_many_gaps_are_shortened_and_paths_are_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    gaps = [Unseen(f"p{number}", Reason.DAMAGED) for number in range(LISTED + 3)]
    assert tell(Outcome([], gaps), "stored value", as_json=False) == 5
    said = capsys.readouterr()
    assert said.out == "No stored value was found in what could be read; 23 places could not be looked through.\n"
    assert "p19: it is damaged\n  and 3 more" in said.err
    assert "p20" not in said.err
    assert tell(Outcome([ScannedPlace("a", 1, "T")], gaps), "stored value", as_json=True) == 3
    assert len(json.loads(capsys.readouterr().out)["not_looked_through"]) == LISTED + 3


def test_a_sealed_archive_whose_path_holds_a_value_is_named_without_it(machine: Machine) -> None:
    (machine.home / "place").mkdir()
    (machine.home / "place" / f"{SCOPED}.7z").write_bytes(SEALED)
    told = unseen(machine, str(machine.home / "place"))
    assert told == [(f"{machine.home}/place/[secret://SCOPED].7z", "unsupported")]
