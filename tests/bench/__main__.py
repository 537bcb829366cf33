"""`python -m bench`: a run under load or at rest, or a comparison of two commits."""

import json
import sys
from pathlib import Path

import click
from rich.console import Console

from bench import large, sets, soaking, steady
from bench.at_rest import broken
from bench.compare import compare
from bench.plot import draw
from bench.processes import REQUESTS_PER_SECOND
from bench.report import (
    LARGE_ROWS,
    SET_ROWS,
    SOAK_ROWS,
    STEADY_ROWS,
    markdown,
    show,
)
from bench.run import Plan, run

HERE = Path(__file__).parent.parent.parent
OVER = 300
"""The largest number of organizations of the set in an ordinary run."""
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group()
def main() -> None:
    """Measure the operator on a real kube-apiserver and an emulated ZITADEL."""


@main.command("run")
@click.option("--policies", type=click.IntRange(10, 20_000), default=1000)
@click.option("--idle", type=click.FloatRange(0), default=300.0, help="Seconds.")
@click.option("--memory/--no-memory", default=True, help="Also with 10 times N.")
@click.option("--profile/--no-profile", default=True, help="Also by sampling.")
@click.option("--floor/--no-floor", default=True, help="Also a bare client.")
@click.option("--slow/--no-slow", default=True, help="Also a ZITADEL that is slow.")
@click.option(
    "--organizations",
    type=click.IntRange(0, 20_000),
    help="Of a set, which is measured last. Default: N, 300 at most; 0 leaves it out.",
)
@click.option("--output", type=_FOLDER, default=HERE / ".bench", show_default=True)
def run_once(
    policies: int,
    idle: float,
    memory: bool,
    profile: bool,
    floor: bool,
    slow: bool,
    organizations: int | None,
    output: Path,
) -> None:
    """Measure this checkout; print tables, write result.json, table.md and plots.

    A set is measured as by `sets`, which writes sets.json and sets.md.
    """
    console = Console(soft_wrap=True)
    plan = Plan(policies, HERE, idle, memory, profile, floor, slow)
    result = run(plan, lambda line: console.print(f"· {line}", style="dim"))
    output.mkdir(parents=True, exist_ok=True)
    (output / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    (output / "table.md").write_text(markdown(result))
    draw(result, output)
    show(result, console)
    if organizations is None:
        organizations = min(policies, OVER)
    if organizations:
        _measure_a_set(sets.Plan(organizations, HERE), output, console)
    console.print(f"Written to {output}")


@main.command("steady")
@click.option("--policies", type=click.IntRange(20, 20_000), default=1000)
@click.option("--idle", type=click.FloatRange(1), default=300.0, help="Seconds.")
@click.option("--runs", type=click.IntRange(1), default=10, help="Failovers.")
@click.option("--long-runs", type=click.IntRange(1), default=3, help="kill -9, 15 s.")
@click.option("--output", type=_FOLDER, default=HERE / ".bench", show_default=True)
@click.option("--strict", is_flag=True, help="Exit 1 if a count whose aim is 0 is not.")
def run_steady(
    policies: int, idle: float, runs: int, long_runs: int, output: Path, *, strict: bool
) -> None:
    """Measure idle, restart, drift and failover; print a table, write steady.json."""
    console = Console(soft_wrap=True)
    plan = steady.Plan(policies, HERE, idle, runs, long_runs)
    result = steady.run_steady(
        plan, lambda line: console.print(f"· {line}", style="dim")
    )
    output.mkdir(parents=True, exist_ok=True)
    (output / "steady.json").write_text(json.dumps(result, indent=1) + "\n")
    (output / "steady.md").write_text(markdown(result, STEADY_ROWS))
    show(result, console, STEADY_ROWS)
    console.print(f"Written to {output}")
    found = broken(result["figures"]) if strict else []
    for sentence in found:
        console.print(sentence, style="red")
    if found:
        sys.exit(1)


@main.command("sets")
@click.option("--organizations", type=click.IntRange(10, 20_000), default=1000)
@click.option("--idle", type=click.FloatRange(1), default=60.0, help="Seconds.")
@click.option(
    "--requests-per-second",
    type=click.IntRange(1, 1000),
    default=REQUESTS_PER_SECOND,
    show_default=True,
    help="The rate limit of the instance.",
)
@click.option("--output", type=_FOLDER, default=HERE / ".bench", show_default=True)
@click.option("--plain/--no-plain", default=True, help="Also as many plain policies.")
def run_over_a_set(
    organizations: int,
    idle: float,
    requests_per_second: int,
    output: Path,
    plain: bool,
) -> None:
    """Measure a set beside as many plain policies; print a table, write sets.json."""
    console = Console(soft_wrap=True)
    plan = sets.Plan(organizations, HERE, idle, requests_per_second, plain)
    _measure_a_set(plan, output, console)
    console.print(f"Written to {output}")


def _measure_a_set(plan: sets.Plan, output: Path, console: Console) -> None:
    result = sets.run_sets(plan, lambda line: console.print(f"· {line}", style="dim"))
    output.mkdir(parents=True, exist_ok=True)
    (output / "sets.json").write_text(json.dumps(result, indent=1) + "\n")
    (output / "sets.md").write_text(markdown(result, SET_ROWS))
    show(result, console, SET_ROWS)


@main.command("large")
@click.option("--policies", type=click.IntRange(100, 1_000_000), default=100_000)
@click.option(
    "--idle",
    type=click.FloatRange(1),
    default=660.0,
    help="Seconds; a LIST of all objects comes every ten minutes.",
)
@click.option("--output", type=_FOLDER, default=HERE / ".bench", show_default=True)
def run_large(policies: int, idle: float, output: Path) -> None:
    """Measure a restart with very many policies; print a table, write large.json.

    The data folder of etcd is made once and kept in the output folder.
    """
    console = Console(soft_wrap=True)
    plan = large.Plan(policies, HERE, output / "large", idle)
    result = large.run_large(plan, lambda line: console.print(f"· {line}", style="dim"))
    (output / "large.json").write_text(json.dumps(result, indent=1) + "\n")
    (output / "large.md").write_text(markdown(result, LARGE_ROWS))
    show(result, console, LARGE_ROWS)
    console.print(f"Written to {output}")


@main.command("soak")
@click.option("--policies", type=click.IntRange(100, 100_000), default=10_000)
@click.option("--minutes", type=click.FloatRange(1), default=30.0)
@click.option("--seed", type=int, default=1, help="Decides what happens when.")
@click.option("--output", type=_FOLDER, default=HERE / ".bench", show_default=True)
def run_soak(policies: int, minutes: float, seed: int, output: Path) -> None:
    """Run with edits, faults and restarts; print a table, write soak.json.

    Exits with 1 if memory is not flat, or if anything is wrong in the end. The data
    folder of etcd is made once and kept in the output folder, as by `large`.
    """
    console = Console(soft_wrap=True)
    plan = soaking.Plan(policies, HERE, output / "large", 60 * minutes, seed)
    result = soaking.run_soak(
        plan, lambda line: console.print(f"· {line}", style="dim")
    )
    output.mkdir(parents=True, exist_ok=True)
    (output / "soak.json").write_text(json.dumps(result, indent=1) + "\n")
    (output / "soak.md").write_text(markdown(result, SOAK_ROWS))
    show(result, console, SOAK_ROWS)
    console.print(f"Written to {output}")
    for sentence in result["wrong"]:
        console.print(sentence, style="red", markup=False)
    if result["wrong"]:
        sys.exit(1)


@main.command("compare")
@click.argument("before")
@click.argument("after")
@click.option("--policies", type=click.IntRange(10, 20_000), default=300)
@click.option("--rounds", type=click.IntRange(1, 20), default=3)
def compare_two(before: str, after: str, policies: int, rounds: int) -> None:
    """Measure two commits in turn and print the ratio of each figure's median."""
    compare(HERE, before, after, policies, rounds, Console(soft_wrap=True))


main()
