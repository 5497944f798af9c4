"""The table, the JSON and the plot of one run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the table: what was measured, the figure, what is to be reached."""

    what: str
    figure: str
    reach: str = ""


def show(rows: Sequence[Row]) -> str:
    """The table as text."""
    heads = [Row("what", "measured", "to reach"), *rows]
    widths = [max(len(row[column]) for row in heads) for column in range(3)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in heads]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def write_json(path: Path, data: object) -> None:
    """All figures, for whoever wants to compare runs."""
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def write_plot(path: Path, ratios: dict[str, dict[int, float]]) -> None:
    """Cost against store size, as SVG: a line for each tool."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "claude-secrets", "svg.fonttype": "none"}
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    for tool, by_size in ratios.items():
        axes.plot(
            list(by_size), list(by_size.values()), marker="o", label="set, less one commit" if tool == "set" else tool
        )
    axes.axhline(1.5, color="grey", linestyle="--", linewidth=1)
    axes.set(xscale="log", xlabel="secrets stored", ylabel="times an empty tool's call", ylim=(0, None))
    axes.set_title("A warm call by stdio, ten names visible")
    axes.legend(frameon=False, ncols=4)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
