"""Writes the rows, the JSON and the plot of one run."""

import json
from pathlib import Path


class Report:
    """The measurements of one run: rows, which are printed at once, and `figures`, which make runs comparable.

    `shown` is the plot's data: each tool's ratio by the number of stored secrets.
    """

    def __init__(self, figures: dict[str, object]) -> None:
        self.figures = figures
        self.shown: dict[str, dict[int, float]] = {}
        self.row("what", "measured", "to reach")

    def row(self, what: str, figure: str, reach: str = "") -> None:
        """Print a line of the table."""
        print(f"{what:<58}  {figure:>12}  {reach}".rstrip(), flush=True)

    def write_json(self, path: Path) -> None:
        """Write the figures."""
        path.write_text(json.dumps(self.figures, indent=2) + "\n", encoding="utf-8")


def write_plot(path: Path, ratios: dict[str, dict[int, float]]) -> None:
    """Plot cost against store size as SVG, with a line for each tool."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "claude-secrets", "svg.fonttype": "none"}
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    for tool, by_size in ratios.items():
        label = "set, less one commit" if tool == "set" else tool
        axes.plot(list(by_size), list(by_size.values()), marker="o", label=label)
    axes.axhline(1.5, color="grey", linestyle="--", linewidth=1)
    axes.set(xscale="log", xlabel="secrets stored", ylabel="times an empty tool's call", ylim=(0, None))
    axes.set_title("A warm call by stdio, ten names visible")
    axes.legend(frameon=False, ncols=4)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
