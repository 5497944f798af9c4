"""The table, the JSON and the plot of one run."""

import json
from pathlib import Path


class Report:
    """What one run has measured: rows for people, `figures` for whoever wants to compare runs."""

    def __init__(self, figures: dict[str, object]) -> None:
        self.figures = figures
        self._rows = [("what", "measured", "to reach")]

    def row(self, what: str, figure: str, reach: str = "") -> None:
        """Add a line to the table."""
        self._rows.append((what, figure, reach))

    def table(self) -> str:
        """The table as text."""
        widths = [max(len(row[column]) for row in self._rows) for column in range(3)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in self._rows
        ]
        return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])

    def write_json(self, path: Path) -> None:
        """Write the figures."""
        path.write_text(json.dumps(self.figures, indent=2) + "\n", encoding="utf-8")


def write_plot(path: Path, ratios: dict[str, dict[int, float]]) -> None:
    """Cost against store size, as SVG: a line for each tool."""
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
