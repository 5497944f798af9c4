"""A complete first session: the official MCP client starts the real server and calls all six tools.

Everything happens in a temporary directory: a project, a store, and the store's key in a file. `enter_in_page` plays
the person and does over HTTP what you would do in your browser. Install Claude Secrets, then run `python
examples/first_session.py` in the same environment.
"""

import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from io import TextIOWrapper
from pathlib import Path

import anyio
import anyio.to_thread
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import ElicitRequestParams, ElicitRequestURLParams, ElicitResult, TextContent

AGENTS_VALUE = "demo-7f3a-set-by-the-agent"
PERSONS_VALUE = "demo-c41e-typed-by-the-person"
ALLOWLIST = """\
allow:
  - DEMO_*
  - {name: STRIPE_KEY, about: Stripe test mode}
"""


class Demo:
    """A project, a store and a key file in one directory, and the program that uses them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.project, self.store, self.key_file = root / "project", root / "data" / "secrets.db", root / "keys" / "key"
        self.project.mkdir(exist_ok=True)
        self.key_file.parent.mkdir(exist_ok=True)
        program = shutil.which("claude-secrets", path=Path(sys.executable).parent)
        assert program is not None, "install Claude Secrets in this Python's environment first"
        self.program = [program, "--store", str(self.store)]

    def command(self, *arguments: str) -> str:
        """Run one of the person's commands in the project."""
        print(f"\nperson  $ claude-secrets {' '.join(arguments)}")
        done = subprocess.run(  # noqa: S603  the program is our own
            [*self.program, *arguments], cwd=self.project, check=True, text=True, stdout=subprocess.PIPE
        )
        print(done.stdout.rstrip())
        return done.stdout

    def server(self) -> StdioServerParameters:
        """Return the parameters with which a client starts the server for this project."""
        program, *arguments = self.program
        return StdioServerParameters(
            command=program, args=[*arguments, "--project", str(self.project)], cwd=str(self.project)
        )


def enter_in_page(url: str, value: str) -> None:
    """Do what the person does in the browser: open the page, press Continue, type the value, press Store."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def load(**form: str) -> str:
        with browser.open(url, urllib.parse.urlencode(form).encode() if form else None, timeout=10) as page:
            return str(page.read().decode())

    visit = re.search(r'name="visit" value="([^"]+)"', load())
    assert visit is not None
    load(action="claim", visit=visit[1])
    assert "is stored" in load(action="store", access="use-only", value=value)


async def answer(context: object, params: ElicitRequestParams) -> ElicitResult:  # noqa: ARG001  the protocol's name
    """Play the client when a tool asks the person: show the page's address, or a question that this person refuses."""
    if not isinstance(params, ElicitRequestURLParams):
        question = params.message.replace("\n", "\n          ")
        print(f"        the client shows: {question}\n        the person says no")
        return ElicitResult(action="decline")
    print(f"        the client shows: {params.message}\n        the person opens {params.url} and types the value")
    await anyio.to_thread.run_sync(enter_in_page, params.url, PERSONS_VALUE)
    return ElicitResult(action="accept")


async def call(client: Client, tool: str, **arguments: str) -> str:
    """Call one tool, print question and answer, and return the answer's text."""
    print(f"\nagent   -> {tool} {json.dumps(arguments)}")
    result = await client.call_tool(tool, arguments)
    block = result.content[0]
    assert isinstance(block, TextContent)
    indented = block.text.replace("\n", "\n          ")
    print(f"        <- {'refused: ' if result.is_error else ''}{indented}")
    return block.text


async def session(demo: Demo) -> None:
    """Do what an agent of the project does."""
    async with Client(demo.server(), elicitation_callback=answer) as client:
        tools = (await client.list_tools()).tools
        print(f"\nThe server offers {len(tools)} tools: {', '.join(tool.name for tool in tools)}")
        await call(client, "set_secret", name="DEMO_TOKEN", value=AGENTS_VALUE)
        assert await call(client, "get_secret", name="DEMO_TOKEN") == AGENTS_VALUE
        await call(client, "input_secret", name="STRIPE_KEY", prompt="for the payment tests")
        assert "USE_ONLY" in await call(client, "get_secret", name="STRIPE_KEY")
        await call(client, "list_secrets")
        await call(client, "search_secrets", pattern="token$")
        assert "NOT_ALLOWLISTED" in await call(client, "get_secret", name="GITHUB_TOKEN")
        await call(client, "delete_secret", name="DEMO_TOKEN")


def show_what_is_on_disk(demo: Demo) -> None:
    """Search every byte of the store's directory for the values and names that were stored."""
    files = sorted(demo.store.parent.iterdir())
    print("\nOn disk:", ", ".join(f"{file.name} ({file.stat().st_size} bytes)" for file in files))
    everything = b"".join(file.read_bytes() for file in files)
    for text in (AGENTS_VALUE, PERSONS_VALUE, "DEMO_TOKEN", "STRIPE_KEY"):
        raw = text.encode()
        found = any(form in everything for form in (raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"=")[:-1]))
        print(f"        {text!r} in it, plain, in hexadecimal or in base64: {'YES' if found else 'no'}")
        assert not found


def main() -> None:
    """Set up, let the agent work, look at the disk, clean up."""
    with tempfile.TemporaryDirectory() as directory:
        demo = Demo(Path(directory).resolve())
        demo.command("init", "--key-file", str(demo.key_file))
        (demo.project / ".claude" / "secrets.yml").write_text(ALLOWLIST, encoding="utf-8")
        print(f"\nThe project's .claude/secrets.yml now says:\n{ALLOWLIST.rstrip()}")
        # The client runs in a separate process: every process below a client counts as its agent, not as the person.
        subprocess.run([sys.executable, __file__, str(demo.root)], check=True)  # noqa: S603  this program
        assert demo.command("get", "STRIPE_KEY").rstrip("\n") == PERSONS_VALUE
        show_what_is_on_disk(demo)


if __name__ == "__main__":
    if isinstance(sys.stdout, TextIOWrapper):  # both processes print, so neither may keep lines in its buffer
        sys.stdout.reconfigure(line_buffering=True)
    if sys.argv[1:]:
        anyio.run(session, Demo(Path(sys.argv[1])))
    else:
        main()
