"""Make docs/pictures/session.svg from a real session. `python -m tests.support.session_picture` rewrites the file.

An agent asks for a secret, the person types it in the browser, and the agent's program uses it with redacted output.
Run this in your own shell: if an agent's client started that shell, the commands of the picture count as that agent's.

Always: everything runs in a temporary home. Each text after a call or a command is real output of the program. The
picture needs no font, script or file from elsewhere.
"""

import html
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from tests.support.agent_shells import CLIENT
from tests.support.machine import DEADLINE, PROGRAM, Machine, Wire

FILE: Final = Path(__file__).parents[2] / "docs" / "pictures" / "session.svg"

NAME: Final = "GITEA_TOKEN"
VALUE: Final = "demo-c41e-typed-by-the-person"
PROMPT: Final = "to open pull requests"
COMMAND: Final = f"claude-secrets exec --only {NAME} -- sh -c 'echo token=${NAME}'"

COLUMNS: Final = 75
"""Characters of a line, at most; longer lines wrap."""


class Turn(NamedTuple):
    """One step of the agent or the person: they type `given`, and the program answers `shown`."""

    who: str
    where: str
    given: str
    shown: tuple[str, ...]


def capture(root: Path) -> list[Turn]:
    """Run the session in the empty directory `root` and return its turns. The home directory in them is `~`."""
    machine = Machine(root).use_key_file()
    project = machine.project("api", [NAME])
    with Wire(PROGRAM, project, machine.environment) as wire:
        wire.shake_hands(capabilities={"elicitation": {"url": {}}})
        turns = [
            Turn("agent", "over MCP", f"get_secret {NAME}", _text(wire.call("get_secret", name=NAME))),
            *_input(wire),
            Turn("agent", "in a shell", f"$ {COMMAND}", _in_the_agents_shell(machine, project)),
        ]
        refusal, *_ = _text(wire.call("get_secret", name=NAME))  # the other line names the command that was just run
        turns.append(Turn("agent", "over MCP", f"get_secret {NAME}", tuple(re.split(r"(?<=\.) ", refusal))))
    return [turn._replace(shown=tuple(line.replace(str(machine.home), "~") for line in turn.shown)) for turn in turns]


def _text(result: dict[str, object]) -> tuple[str, ...]:
    """Return the lines of a tool's result."""
    content = result["content"]
    assert isinstance(content, list)
    return tuple(content[0]["text"].splitlines())


def _input(wire: Wire) -> Iterator[Turn]:
    call = {"name": "input_secret", "arguments": {"name": NAME, "prompt": PROMPT}}
    wire.send({"jsonrpc": "2.0", "id": "input", "method": "tools/call", "params": call})
    question = wire.receive()
    page = _type_into_page(question["params"]["url"])
    wire.send({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}})
    while (message := wire.receive()).get("id") != "input":
        pass
    yield Turn("agent", "", f'input_secret {NAME} "{PROMPT}"', ())
    yield Turn("person", "in a browser", "", page)
    yield Turn("agent", "", "", _text(message["result"]))


def _type_into_page(url: str) -> tuple[str, ...]:
    """Do what the person does in the browser, and return what the pages show."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def load(**form: str) -> str:
        with browser.open(url, urllib.parse.urlencode(form).encode() if form else None, timeout=DEADLINE) as page:
            return str(page.read().decode())

    visit = _part(r'name="visit" value="([^"]+)"', load())
    form = load(action="claim", visit=visit)
    stored = load(action="store", access="use-only", value=VALUE)
    return (
        _part("<h1>(.+?)</h1>", form),
        f"Project: {_part('<dt>Project</dt><dd>(.+?)</dd>', form)}",
        f"{_part('<figcaption>(.+?)</figcaption>', form)} {_part('<blockquote>(.+?)</blockquote>', form)}",
        _part('<label class="field"[^>]*>(.+?)</label>', form) + ": " + "•" * len(VALUE),
        _part(r"<p[^>]*>([^<]*is stored[^<]*\.)", stored).partition(". ")[0] + ".",
    )


def _part(pattern: str, page: str) -> str:
    """Return the text of the group in `pattern`, without tags."""
    match = re.search(pattern, page, re.DOTALL)
    assert match is not None, f"the page has no {pattern}"
    return html.unescape(re.sub("<[^>]+>", "", match[1]))


def _in_the_agents_shell(machine: Machine, project: Path) -> tuple[str, ...]:
    """Run the command as an agent's client runs it, and return what it prints."""
    script = f'claude-secrets() {{ {shlex.join(PROGRAM)} "$@"; }}\n{COMMAND}'
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, "CLAUDE_SECRETS_AGENT", "", "bash", script],
        cwd=project,
        env=machine.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=DEADLINE,
        check=False,
    )
    return tuple(done.stdout.splitlines())


_CHARACTER: Final = 8.4
"""The width of a character in a monospaced font of 14 pixels."""

_LINE, _GAP, _MARGIN, _TEXT_AT = 21, 12, 20, 132
_WIDTH: Final = round(_TEXT_AT + COLUMNS * _CHARACTER + _MARGIN)
_TITLE: Final = "A session with Claude Secrets"
_DESCRIPTION: Final = (
    f"An agent asks for {NAME} and learns that it is missing. It calls input_secret. The person types the value into "
    "a page in the browser. A program that the agent runs gets the value, and its output shows a reference instead. "
    "The agent itself is refused the value."
)
_STYLE: Final = """\
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #e3e6eb }
.card { fill: #15181e; stroke: #737b89 }
.panel { fill: #2b2517 }
.agent { fill: #7cc4ff; font-weight: bold }
.person { fill: #ffc861; font-weight: bold }
.where { fill: #a8afbb; font-size: 12px }
.given { fill: #ffffff; font-weight: bold }
.reference { fill: #86e08b; font-weight: bold }"""


def svg(turns: list[Turn]) -> str:
    """Return the picture. It has its own dark background, so it is readable on light and on dark pages."""
    drawn, y = [], _MARGIN
    for turn in turns:
        lines = [*_wrapped("given", turn.given), *(line for text in turn.shown for line in _wrapped("shown", text))]
        height = _LINE * len(lines)
        if turn.who == "person":
            drawn.append(f'<rect class="panel" x="8" y="{y - 4}" width="{_WIDTH - 16}" height="{height + 8}" rx="6"/>')
        drawn.append(f'<text class="{turn.who}" x="{_MARGIN}" y="{y + 15}">{turn.who}</text>')
        if turn.where:
            drawn.append(f'<text class="where" x="{_MARGIN}" y="{y + _LINE + 15}">{turn.where}</text>')
        drawn += [_line(style, text, y + _LINE * row + 15) for row, (style, text) in enumerate(lines)]
        y += height + _GAP
    height = y - _GAP + _MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}"',
            f'  height="{height}" role="img" aria-labelledby="title description">',
            f'<title id="title">{_TITLE}</title>',
            f'<desc id="description">{_DESCRIPTION}</desc>',
            f"<style>\n{_STYLE}\n</style>",
            f'<rect class="card" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8"/>',
            *drawn,
            "</svg>\n",
        ]
    )


def _wrapped(style: str, text: str) -> list[tuple[str, str]]:
    return [(style, line) for line in textwrap.wrap(text, COLUMNS, break_on_hyphens=False)]


def _line(style: str, text: str, y: int) -> str:
    """Draw one line; `textLength` keeps it as wide as planned in any font."""
    marked = re.sub(r"\[secret://\w+\]", r'<tspan class="reference">\g<0></tspan>', escape(text))
    length = round(len(text) * _CHARACTER, 1)
    return f'<text class="{style}" x="{_TEXT_AT}" y="{y}" textLength="{length}">{marked}</text>'


def main() -> None:
    """Rewrite the file."""
    with tempfile.TemporaryDirectory() as directory:
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(svg(capture(Path(directory).resolve())), encoding="utf-8")


if __name__ == "__main__":
    main()
