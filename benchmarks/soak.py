"""`python -m benchmarks.soak`: runs six clients of both protocol eras against one store for some minutes.

Trust, limits, rules and the log are on. Reports every outcome by its code, the servers' memory and the store's size.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import anyio
import psutil
from mcp import Client, StdioServerParameters
from mcp_types import ElicitResult

from benchmarks.homes import SERVER, Home, value

BY_DESIGN = {
    "done",
    "NOT_FOUND",
    "NOT_ALLOWLISTED",
    "NOT_TRUSTED",
    "RATE_LIMITED",
    "DENIED_BY_RULE",
    "USE_ONLY",
    "INVALID_NAME",
    "INVALID_PATTERN",
}
ERAS = ("legacy", "2026-07-28") * 3
NAMES = [*(f"VISIBLE_{number}" for number in range(8)), "HIDDEN", "not a name"]
_POLICY = """\
version: "1"
default: allow
tools:
  get_secret:
    rules:
      - name: not-seven
        conditions: [{path: args.name, op: neq, value: VISIBLE_7}]
"""


class Soak:
    """The clients, and the outcomes of their calls."""

    def __init__(self, home: Home, seconds: float) -> None:
        self.home = home
        self.until = time.monotonic() + seconds
        self.outcomes: Counter[str] = Counter()
        self.faults: list[str] = []
        self.clone = home.root / "clone"
        (self.clone / ".claude").mkdir(parents=True)
        (self.clone / ".git").mkdir()
        (self.clone / ".claude" / "secrets.yml").write_text('allow: ["VISIBLE_?", "OWN_?"]\n')
        (home.root / ".config" / "claude-secrets" / "policy.yml").unlink()
        (home.project / ".claude" / "secrets.yml").write_text(
            f'allow: ["VISIBLE_?"]\npolicy:\n  {_POLICY.replace(chr(10), chr(10) + "  ").rstrip()}\n'
        )

    async def run(self, tell: "Tell") -> None:
        """Run all clients at once until the time is over."""
        async with anyio.create_task_group() as tasks:
            for number, era in enumerate(ERAS):
                tasks.start_soon(self._client, number, era)
            tasks.start_soon(tell.watch, self)

    async def _client(self, number: int, era: str) -> None:
        chosen = random.Random(number)

        async def person(_context: object, _params: object) -> ElicitResult:
            if chosen.random() < 0.5:
                return ElicitResult(action="decline")
            return ElicitResult(action="accept", content={"approve": True})

        at = self.home.project if number < 4 else self.clone
        parameters = StdioServerParameters(
            command=SERVER[0], args=SERVER[1:], cwd=str(at), env=dict(self.home.environment)
        )
        while time.monotonic() < self.until:  # some clients start new sessions now and then, others keep one session
            session_ends = min(self.until, time.monotonic() + chosen.uniform(40, 80)) if number > 1 else self.until
            async with Client(parameters, mode=era, elicitation_callback=person) as client:  # type: ignore[arg-type]  # the callback's context is of no interest here
                while time.monotonic() < session_ends:
                    await self._call(client, chosen, era)
                    await anyio.sleep(chosen.choice([0, 0, 0.001, 0.02]))

    async def _call(self, client: Client, chosen: random.Random, era: str) -> None:
        tool = chosen.choice(["get", "get", "get", "set", "delete", "list", "search"])
        name = chosen.choice(NAMES)
        arguments: dict[str, dict[str, str]] = {
            "get": {"name": name},
            "set": {"name": name, "value": value(chosen)},
            "delete": {"name": name},
            "list": {},
            "search": {"pattern": chosen.choice(["", "_[1-3]$", "(", "visible"])},
        }
        full = f"{tool}_{'secrets' if tool in ('list', 'search') else 'secret'}"
        result = await client.call_tool(full, arguments[tool])
        text = getattr(result.content[0], "text", "") if result.content else ""
        code = text.partition("]")[0].removeprefix("[") if result.is_error else "done"
        self.outcomes[code] += 1
        if code not in BY_DESIGN:
            self.faults.append(f"{era} {full}: {text}")


class Tell:
    """Prints the memory and the size of the store's files, a line every ten seconds."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, int, int, int]] = []

    async def watch(self, soak: Soak) -> None:
        """Print lines until the time is over."""
        begun = time.monotonic()
        while time.monotonic() < soak.until - 1:
            await anyio.sleep(min(10, max(0.1, soak.until - time.monotonic() - 1)))
            servers = [process.memory_info().rss for process in psutil.Process().children()]
            size = sum(path.stat().st_size for path in soak.home.store_path.parent.iterdir())
            row = (time.monotonic() - begun, max(servers, default=0), size, soak.outcomes.total())
            self.rows.append(row)
            print(
                f"{row[0]:5.0f} s  {len(servers)} servers, the largest {row[1] / 1e6:.1f} MB"
                f"  store {row[2] / 1e6:.2f} MB  {row[3]} calls",
                flush=True,
            )


def main() -> int:
    """Run, report, and return 1 if there was an unexpected outcome."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        soak = Soak(Home(Path(root), 1000, allow='["VISIBLE_?"]'), options.minutes * 60)
        anyio.run(soak.run, Tell())
    for code, times in soak.outcomes.most_common():
        print(f"{times:8}  {code}")
    print(f"{len(soak.faults)} unexpected outcomes")
    for fault in soak.faults[:20]:
        print(fault, file=sys.stderr)
    return 1 if soak.faults else 0


if __name__ == "__main__":
    sys.exit(main())
