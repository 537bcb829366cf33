"""Two plots of a run: Ready over time, and memory over the number of policies."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "znp"  # the same run draws the same file


def draw(result: dict[str, Any], folder: Path) -> list[Path]:
    """Write the plots for which the result has data; return the files' paths."""
    drawn = []
    if "curve" in result:
        times = [0.0, *result["curve"]]
        path = folder / "ready-over-time.svg"
        _line(path, times, range(len(times)), "seconds since the first create", "Ready")
        drawn.append(path)
    if "memory" in result:
        counts = [int(count) for count in result["memory"]]
        path = folder / "memory-over-policies.svg"
        sizes = list(result["memory"].values())
        _line(path, counts, sizes, "policies", "resident memory, MiB", marker="o")
        drawn.append(path)
    return drawn


def _line(path: Path, x: Any, y: Any, across: str, up: str, **style: Any) -> None:
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(x, y, **style)
    axes.set(xlabel=across, ylabel=up, xlim=(0, None), ylim=(0, None))
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
