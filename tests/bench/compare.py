"""Compares two commits by turns, so that the machine is the same for both.

Control plane, emulator and driver are those of this checkout; the operator and its CRDs
are those of the commit. The packages are those that are installed.
"""

import statistics
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.report import ROWS
from bench.run import Plan, run


def compare(
    here: Path, before: str, after: str, policies: int, rounds: int, console: Console
) -> None:
    """Measure two commits and print their medians and ratios.

    Args:
        here: A checkout that contains both commits.
        before: A commit, or `.` for the working tree.
        after: Another commit, or `.`.
        policies: The number of policies in each round.
        rounds: How often each commit is measured.
        console: Where progress and table are printed.
    """
    found: dict[str, dict[str, list[float]]] = {
        before: defaultdict(list),
        after: defaultdict(list),
    }
    with _checkout(here, before) as first, _checkout(here, after) as second:
        for number in range(rounds):
            for name, folder in ((before, first), (after, second)):
                console.print(f"· round {number + 1}: {name}", style="dim")
                plan = Plan(
                    policies,
                    folder,
                    idle=0,
                    memory=False,
                    profile=False,
                    floor=False,
                    slow=False,
                )
                for key, value in run(plan, lambda _: None)["figures"].items():
                    found[name][key].append(value)
    table = Table("figure", before, after, "after / before")
    for key, words, _, _ in ROWS:
        if found[before][key] and found[after][key]:
            old = statistics.median(found[before][key])
            new = statistics.median(found[after][key])
            ratio = f"{new / old:.2f}" if old else "-"
            table.add_row(words, f"{old:.4g}", f"{new:.4g}", ratio)
    console.print(table)


@contextmanager
def _checkout(here: Path, commit: str) -> Iterator[Path]:
    """Yield a folder with the commit's files, and remove it at the end."""
    if commit == ".":
        yield here
        return
    with tempfile.TemporaryDirectory("-znp-commit") as parent:
        folder = Path(parent) / "checkout"
        git = ["git", "-C", str(here), "worktree"]
        add = [*git, "add", "--quiet", "--detach", str(folder), commit]
        subprocess.run(add, check=True)
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True)
