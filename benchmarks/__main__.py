"""`python -m benchmarks`: measures all or some parts in one run, prints the rows, and writes the figures and plot."""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks import calls, commands
from benchmarks.homes import Home
from benchmarks.report import Report, write_plot

SIZES = (10, 1000, 10_000, 100_000)
QUICK = (10, 200)
ALL_UP_TO = 1000
TEN = '["VISIBLE_?"]'
ALL = '"*"'


PARTS: Final = ("warm", "start", "commands", "throughput", "writers")


def main() -> None:
    """Measure, and print each row as soon as it is measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="*", help=f"measure only these parts: {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="use small stores and few rounds, to check that it runs")
    parser.add_argument(
        "--output",
        type=Path,
        help="write figures.json and cost.svg to this directory (default: here for a whole run, nowhere for parts)",
    )
    options = parser.parse_args()
    if wrong := set(options.part) - {*PARTS}:
        parser.error(f"there is no part {', '.join(sorted(wrong))}; there are {', '.join(PARTS)}")
    parts = options.part or PARTS
    output = options.output or (None if options.part else Path())
    print(commands.machine(), flush=True)
    report = Report({"machine": commands.machine()})
    with tempfile.TemporaryDirectory() as name:
        for part in parts:
            _measure(part, Path(name), report, quick=options.quick)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        report.write_json(output / "figures.json")
        if "warm" in parts:
            write_plot(output / "cost.svg", report.shown)


def _measure(part: str, root: Path, report: Report, *, quick: bool) -> None:
    began = time.monotonic()
    match part:
        case "warm":
            sizes, rounds, sessions = (QUICK, 4, 1) if quick else (SIZES, 600, calls.SESSIONS)
            report.shown = _warm(root, sizes, rounds, sessions, report)
        case "start":
            _cold(root, 1 if quick else 25, report)
        case "commands":
            _commands(root, *((100, 1) if quick else (1000, 25)), report)
        case "throughput":
            _throughput(2 if quick else 64, report)
        case "writers":
            _writers(root, 5 if quick else 50, report)
    print(f"({part}: {time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)


def _warm(
    root: Path, sizes: tuple[int, ...], rounds: int, sessions: int, report: Report
) -> dict[str, dict[int, float]]:
    """Measure and report warm calls. Return each tool's ratio by the number of stored secrets (ten are visible)."""
    commit = calls.durable_commit(root, rounds)
    shown: dict[str, dict[int, float]] = {tool: {} for tool in calls.TOOLS}
    peaks, raw = {}, {}
    for stored in sizes:
        _say(f"warm calls, {stored} stored")
        found, peaks[stored] = calls.warm(Home(root / f"ten of {stored}", stored, allow=TEN), rounds, sessions=sessions)
        raw[stored] = {tool: one.ratio for tool, one in found.items()}
        for tool, one in found.items():
            shown[tool][stored] = _less_commit(tool, one, commit)
            report.row(f"warm {_label(tool)}, {stored} stored, ten visible", f"{shown[tool][stored]:.2f} x", "1.5 x")
    for stored in (size for size in sizes if size <= ALL_UP_TO):
        found, _ = calls.warm(Home(root / f"all of {stored}", stored, allow=ALL), rounds, sessions=sessions)
        for tool, one in found.items():
            report.row(f"warm {_label(tool)}, {stored} stored, all visible", f"{_less_commit(tool, one, commit):.2f} x")
    first, last = min(sizes), max(sizes)
    for tool in ("get", "set"):
        growth = raw[last][tool] / raw[first][tool]  # ratios, because a machine's speed changes between measurements
        report.row(f"growth of {tool}, {first} to {last} stored", f"{growth:.2f} x", "1.3 x")
    report.row(f"peak memory, {last} against {first} stored", f"{peaks[last] / peaks[first]:.2f} x", "1.5 x")
    report.figures |= {"rounds": rounds, "warm": shown, "with commits": raw, "commit": commit, "peak bytes": peaks}
    return shown


def _label(tool: str) -> str:
    return "set less one durable commit" if tool == "set" else tool


def _less_commit(tool: str, one: calls.Warm, commit: float) -> float:
    return one.ratio - (commit / one.empty if tool == "set" else 0.0)


def _cold(root: Path, rounds: int, report: Report) -> None:
    _say("cold start")
    ours, empty, ratio = calls.cold_start(Home(root / "start", 10, allow=TEN), rounds)
    report.row(f"cold start to tools/list ({1000 * ours:.0f} ms)", f"{ratio:.2f} x", "1.15 x")
    report.figures["cold start"] = {"ours": ours, "empty": empty, "ratio": ratio}


def _commands(root: Path, stored: int, rounds: int, report: Report) -> None:
    _of_custody(root / "file", "file", "7 x", None, stored, rounds, report)
    with _keyring() as keyring:
        if keyring is None:
            report.row("commands and hooks, keyring custody", "not measured: there is no gnome-keyring here")
        else:
            _of_custody(root / "keyring", "keyring", "14 x", keyring, stored, rounds, report)


def _of_custody(  # noqa: PLR0917  each has its own type
    root: Path, custody: str, reach: str, keyring: Mapping[str, str] | None, stored: int, rounds: int, report: Report
) -> None:
    _say(f"commands, {custody} custody")
    found = commands.commands(Home(root / "few", 10, allow=TEN, keyring=keyring), rounds)
    for name, times in found.items():
        report.row(f"{name}, {custody} custody", f"{times:.1f} x", reach)
    hooks = commands.hooks(Home(root / "many", stored, allow=ALL, keyring=keyring), rounds)
    for name, times in hooks.items():
        report.row(f"hook {name}, {stored} stored, {custody} custody", f"{times:.1f} x", "15 x" * (keyring is None))
    report.figures[custody] = found | hooks


def _throughput(megabytes: int, report: Report) -> None:
    _say("redaction and scan")
    report.figures["MB/s"] = rates = commands.throughput(megabytes)
    for what, reach in (("redaction", "50 MB/s"), ("scan", "20 MB/s")):
        for kind, rate in rates[what].items():
            report.row(f"{what}, {kind}", f"{rate:.0f} MB/s", reach)


def _writers(root: Path, sets: int, report: Report) -> None:
    _say("four writers")
    kept, seconds = calls.writers(Home(root / "writers", 10, allow='["VISIBLE_*"]'), 4, sets)
    report.row(f"four servers x {sets} sets at once ({1000 * seconds:.1f} ms each)", f"{kept} kept", f"{4 * sets} kept")
    report.figures["writers"] = {"kept": kept, "seconds": seconds}


@contextmanager
def _keyring() -> Iterator[dict[str, str] | None]:
    """Yield the environment of a real, unlocked gnome-keyring; None if it is not installed."""
    from tests.support import keyrings

    if shutil.which("gnome-keyring-daemon") is None or shutil.which("dbus-daemon") is None:
        yield None
        return
    with keyrings.real_keyring() as keyring:
        yield dict(keyring.environment)


def _say(what: str) -> None:
    print(f"{what} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
