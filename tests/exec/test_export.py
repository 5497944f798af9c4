"""`export`: shells and other programs read exactly the stored values from its output."""

import io
import json
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claude_secrets.cli.commands import export
from claude_secrets.cli.commands.export import _shell
from claude_secrets.cli.output import say_json
from claude_secrets.exec import dotenv_file
from claude_secrets.variable_names import is_loading, is_shells_own
from tests.support.exec_values import TOKEN, VALUES
from tests.support.machine import DEADLINE, PROGRAM, Machine
from tests.support.posix import skip_without
from tests.support.requirements import require
from tests.support.rounds import rounds

skip_without("POSIX shells and terminals")
assert sys.platform != "win32"

pytestmark = pytest.mark.usefixtures("quick_starts")

VARIABLES = {"bash": "compgen -v", "dash": "set", "zsh": "typeset +m '*'"}


@pytest.mark.parametrize("shell", VARIABLES)
def test_no_variable_of_a_shell_takes_code_for_a_value(shell: str, tmp_path: Path) -> None:
    require(shell)
    bare = [shell, *({"bash": ["--norc"], "zsh": ["-f"]}.get(shell, []))]
    listed = subprocess.run([*bare, "-c", VARIABLES[shell]], capture_output=True, text=True, env={}, check=True)
    known = {line.partition("=")[0].split()[-1] for line in listed.stdout.splitlines() if line.strip()}
    names = [name for name in sorted({*known, "TOKEN"}) if name.isidentifier() and not is_loading(name)]
    wrong = []
    for name in names:
        value = "a[$(touch ran)]"
        script = _shell({name: value}) + f'printf "<%s>" "${name}"'
        done = subprocess.run([*bare, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
        if (done.stdout != f"<{value}>" or (tmp_path / "ran").exists()) and not is_shells_own(name):
            wrong.append(name)
        (tmp_path / "ran").unlink(missing_ok=True)
    assert wrong == []


def test_what_a_shell_keeps_for_itself_is_never_exported_to_one(machine: Machine, here: Path) -> None:
    (here / ".env").write_text("RANDOM='a[$(touch ran)]'\nPLAIN=secret://PLAIN\nstatus=1\nBASH_CMDS=x\n")
    for option in ([], ["--allow-dangerous-names"]):
        done = machine.run("export", "--yes", *option, at=here)
        assert (done.returncode, done.stdout) == (2, "")
        assert "[INVALID_NAME] Refusing to print 'RANDOM', 'status', 'BASH_CMDS': shells use" in done.stderr
    assert json.loads(machine.run("export", "--yes", "--format", "json", at=here).stdout)["status"] == "1"
    assert machine.run("exec", "--yes", "--", "printenv", "RANDOM", at=here).stdout == "a[$(touch ran)]\n"


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh"])
def test_a_shell_takes_what_is_exported_exactly_and_runs_none_of_it(machine: Machine, here: Path, shell: str) -> None:
    require(shell)
    names = " ".join(f"--only {name}" for name in VALUES)
    program = shlex.join(PROGRAM)
    show = f"{shlex.quote(sys.executable)} -c 'import os, json; print(json.dumps(dict(os.environ)))'"
    done = subprocess.run(
        [shell, "-c", f'eval "$({program} export {names})"; {show}'],
        cwd=here,
        env=machine.environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    seen = json.loads(done.stdout)
    assert {name: seen[name] for name in VALUES} == VALUES
    assert (done.stderr, list(here.iterdir())) == ("", [])


ODD = st.text("'\"\\ \n\r\t#$={}`!ab\ufeff\x85\u2028\x1f\x0b", max_size=12)
values = ODD | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)


@given(found=st.dictionaries(st.sampled_from("ABC"), values, min_size=1))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_comes_through_a_shell_exactly(found: dict[str, str]) -> None:
    script = f"{export._shell(found)}exec env -0"
    done = subprocess.run(["sh"], input=script.encode(), capture_output=True, timeout=DEADLINE, check=True)
    seen = dict(variable.split("=", 1) for variable in done.stdout.decode().split("\0")[:-1])
    assert {name: seen[name] for name in found} == found


@given(found=st.dictionaries(st.sampled_from("ABC"), values.filter(lambda value: "${" not in value), min_size=1))
@settings(max_examples=rounds(200, 30_000), deadline=None)
def test_any_value_comes_through_a_dotenv_file_exactly(
    tmp_path_factory: pytest.TempPathFactory, found: dict[str, str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "exported.env"
    path.write_bytes(export._dotenv(found).encode())
    assert dotenv_values(path) == dotenv_file.values(dotenv_file.decoded(path.read_bytes())) == found


@given(found=st.dictionaries(st.sampled_from("ABC"), values | st.just("\0"), min_size=1))
def test_any_value_comes_through_json_exactly(found: dict[str, str]) -> None:
    with redirect_stdout(io.StringIO()) as printed:
        say_json(found)
    assert json.loads(printed.getvalue()) == found
    assert printed.getvalue().isascii()


def test_a_dotenv_file_that_is_exported_gives_the_same_again(machine: Machine, here: Path) -> None:
    names = ["PLAIN", "MULTI", "QUOTES", "TOKEN"]
    only = [word for name in names for word in ("--only", name)]
    (here / "exported.env").write_text(machine.run("export", "--format", "dotenv", *only).stdout, newline="")
    again = machine.run("export", "--format", "json", "--file", "exported.env", at=here)
    assert json.loads(again.stdout) == {name: {**VALUES, "TOKEN": TOKEN}[name] for name in names}


def test_a_dotenv_file_cannot_hold_what_its_readers_replace(machine: Machine, here: Path) -> None:
    (here / ".env").write_text("A=secret://PLAIN\nB=secret://SHELL_CODE\nC=-secret://SHELL_CODE\n")
    done = machine.run("export", "--format", "dotenv", "--yes", at=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert "[INVALID_VALUE] 'B', 'C': the value contains '${'" in done.stderr


@pytest.mark.parametrize("command", [["export"], ["exec", "--", "true"]], ids=["export", "exec"])
def test_a_value_that_is_cut_at_a_hash_is_told_by_its_line(machine: Machine, here: Path, command: list[str]) -> None:
    (here / ".env").write_text('A=x # it\'s "fine"\n\nB={"canary": "canary #1"}\n')
    done = machine.run(*command, at=here)
    assert (done.returncode, done.stderr.count("warning: ")) == (0, 1)
    assert done.stderr.startswith("warning: .env, line 3: the value ends at the '#'")
    assert "canary" not in done.stderr
    (here / ".env").write_text('A=x # it\'s "fine"\n\nB=\'{"canary": "canary #1"}\'\n')
    assert machine.run(*command, at=here).stderr == ""
