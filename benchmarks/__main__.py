"""`python -m benchmarks`: measures everything in one run, prints the table, writes figures and plot."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from benchmarks import calls, commands, report
from benchmarks.homes import Home
from benchmarks.report import Row

SIZES = (10, 1000, 10_000, 100_000)
QUICK = (10, 1000)
TEN = '["VISIBLE_?"]'
ALL = '"*"'


def main() -> None:
    """Measure, and report."""
    options = _options()
    sizes, rounds = (QUICK, 60) if options.quick else (SIZES, 500)
    rows: list[Row] = []
    figures: dict[str, object] = {"machine": commands.machine(), "rounds": rounds}
    with tempfile.TemporaryDirectory() as root:
        ratios = _warm(Path(root), sizes, rounds, rows, figures)
        _starts(Path(root), 5 if options.quick else 25, rows, figures)
        _rest(Path(root), 8 if options.quick else 64, rows, figures)
    print(f"{commands.machine()}\n\n{report.show(rows)}")
    report.write_json(options.output / "figures.json", figures)
    report.write_plot(options.output / "cost.svg", ratios)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small stores and few rounds, to see that it runs")
    parser.add_argument("--output", type=Path, default=Path(), help="where figures.json and cost.svg go (here)")
    return parser.parse_args()


def _warm(
    root: Path, sizes: tuple[int, ...], rounds: int, rows: list[Row], figures: dict[str, object]
) -> dict[str, dict[int, float]]:
    commit = calls.durable_commit(root, rounds)
    ratios: dict[str, dict[int, float]] = {tool: {} for tool in calls.TOOLS}
    peaks, raw = {}, {}
    for stored in sizes:
        _say(f"warm calls, {stored} stored")
        home = Home(root / f"ten of {stored}", stored, allow=TEN)
        found, peaks[stored] = calls.warm(home, rounds)
        raw[stored] = {tool: one.ratio for tool, one in found.items()}
        for tool, one in found.items():
            less = commit if tool == "set" else 0.0
            ratios[tool][stored] = round(one.ratio - less / one.empty, 2)
            note = " less one durable commit" if tool == "set" else ""
            rows.append(Row(f"warm {tool}{note}, {stored} stored, ten visible", f"{ratios[tool][stored]} x", "1.5 x"))
    for stored in (size for size in sizes if size <= 1000):
        found, _ = calls.warm(Home(root / f"all of {stored}", stored, allow=ALL), rounds)
        rows += [
            Row(f"warm {tool}, {stored} stored, all visible", f"{found[tool].ratio:.2f} x")
            for tool in ("get", "list", "search")
        ]
    first, last = min(sizes), max(sizes)
    for tool in ("get", "set"):
        growth = raw[last][tool] / raw[first][tool]  # of ratios: machines change their speed meanwhile
        rows.append(Row(f"growth of {tool}, {first} to {last} stored", f"{growth:.2f} x", "1.3 x"))
    rows.append(Row(f"peak memory, {last} against {first} stored", f"{peaks[last] / peaks[first]:.2f} x", "1.5 x"))
    figures |= {"warm": ratios, "with commits": raw, "commit": commit, "peak bytes": peaks}
    return ratios


def _starts(root: Path, rounds: int, rows: list[Row], figures: dict[str, object]) -> None:
    _say("cold start")
    home, large = Home(root / "start", 10, allow=TEN), Home(root / "hooks", 1000, allow=ALL)
    ours, empty, ratio = calls.cold_start(home, rounds)
    rows.append(Row(f"cold start to tools/list ({1000 * ours:.0f} ms)", f"{ratio:.2f} x", "1.15 x"))
    found: dict[str, object] = {"cold start": {"ours": ours, "empty": empty, "ratio": ratio}}
    _say("commands")
    for custody, keyring, reach in (("file", nullcontext({}), "7 x"), ("keyring", _keyring(), "14 x")):
        with keyring as environment:
            if environment is None:
                rows.append(Row(f"commands, {custody} custody", "not measured: there is no gnome-keyring here"))
                continue
            at = home if custody == "file" else Home(root / "keyring", 10, allow=TEN, keyring=environment)
            found[custody] = measured = commands.commands(at, rounds)
            rows += [Row(f"{name}, {custody} custody", f"{times:.1f} x", reach) for name, times in measured.items()]
    found["hooks"] = measured = commands.hooks(large, rounds)
    rows += [Row(f"hook {name}, 1000 stored", f"{times:.1f} x", "15 x") for name, times in measured.items()]
    figures |= found


def _rest(root: Path, megabytes: int, rows: list[Row], figures: dict[str, object]) -> None:
    _say("redaction and scan")
    figures["MB/s"] = rates = commands.throughput(megabytes)
    for what, reach in (("redaction", "50 MB/s"), ("scan", "20 MB/s")):
        rows += [Row(f"{what}, {kind}", f"{rate:.0f} MB/s", reach) for kind, rate in rates[what].items()]
    _say("four writers")
    kept, seconds = calls.writers(Home(root / "writers", 10, allow='["VISIBLE_*"]'), 4, 50)
    rows.append(Row(f"four servers x 50 sets at once ({1000 * seconds:.1f} ms each)", f"{kept} kept", "200 kept"))
    figures["writers"] = {"kept": kept, "seconds": seconds}


@contextmanager
def _keyring() -> Iterator[dict[str, str] | None]:
    """The environment of a real, unlocked gnome-keyring; None where there is none."""
    from shutil import which

    from tests import keyrings

    if which("gnome-keyring-daemon") is None or which("dbus-daemon") is None:
        yield None
        return
    with keyrings.real_keyring() as keyring:
        yield dict(keyring.environment)


def _say(what: str) -> None:
    print(f"{what} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
