"""The table of a run, beside the aim and the rival's figures, where there are such."""

from typing import Any

from rich.console import Console
from rich.table import Table

AIMED_AT = 1000
"""The number of policies that aims and rival's figures speak about."""

# Figure, what it says, aim, the rival's (measured on the same kind of machine).
ROWS: tuple[tuple[str, str, str, str], ...] = (
    ("create.seconds", "all Ready, s", "12", "42-59"),
    ("edit.seconds", "all edits in ZITADEL, s", "6", "10-11"),
    ("delete.seconds", "all deleted and reset, s", "10", "16-21"),
    ("one_create_p50_ms", "create to Ready, p50, ms", "80", "60-69"),
    ("one_create_p95_ms", "create to Ready, p95, ms", "", ""),
    ("one_patch_p50_ms", "patch to GET, p50, ms", "30", "26"),
    ("one_patch_p95_ms", "patch to GET, p95, ms", "60", "46-56"),
    ("create.cpu_ms", "CPU a new policy, ms", "9", "5-6"),
    ("edit.cpu_ms", "CPU an edit, ms", "", ""),
    ("delete.cpu_ms", "CPU a deletion, ms", "", ""),
    ("create.calls", "ZITADEL calls, create", "3", "2"),
    ("edit.calls", "ZITADEL calls, change", "2", "1"),
    ("delete.calls", "ZITADEL calls, delete", "1", "1"),
    ("create.writes", "API writes, create", "2", "5"),
    ("edit.writes", "API writes, change", "1", "0"),
    ("delete.writes", "API writes, delete", "1", "1"),
    ("create.events", "Events, create", "", ""),
    ("restart.ready", "start to /readyz, s", "", ""),
    ("restart.idle", "start to idle, s", "5", "never"),
    ("restart.writes", "API writes of a restart", "0", ""),
    ("restart.calls", "ZITADEL calls of a restart", "", "13,556"),
    ("idle.writes", "API writes while idle", "0", ""),
    ("idle.calls", "ZITADEL calls while idle", "", "15,139 in 600 s"),
    ("idle.cpu_percent", "CPU while idle, % of a core", "", "3.2"),
    ("rss_0_mib", "memory, no policy, MiB", "", "60"),
    ("rss_mib", "memory, N policies, MiB", "110", "83"),
    ("rss_peak_mib", "memory, peak of that, MiB", "", ""),
    ("rss_10x_mib", "memory, 10 N policies, MiB", "180", ""),
    ("rss_10x_restarted_mib", "the same after a restart, MiB", "", ""),
    ("rss_10x_foreign_mib", "and 60 MB of foreign Secrets, MiB", "180", "159"),
    ("restart_10x.idle", "start to idle, 10 N policies, s", "", ""),
)


def markdown(result: dict[str, Any]) -> str:
    """Return the figures as a Markdown table, for `docs/performance.md`."""
    lines = ["| figure | measured | aim | rival |", "|---|---|---|---|"]
    for key, words, aim, rival in ROWS:
        if key in result["figures"]:
            value = f"{result['figures'][key]:.4g}"
            lines.append(f"| {words} | {value} | {aim} | {rival} |")
    return "\n".join(lines) + "\n"


def show(result: dict[str, Any], console: Console) -> None:
    """Print machine, figures and profile of a run."""
    machine = result["machine"]
    console.print(
        f"{result['policies']} policies · {machine['processor']}, {machine['cores']} "
        f"cores · Kubernetes {machine['kubernetes']} · Python {machine['python']} · "
        f"{machine['commit']}{' with changes' if machine['changed'] else ''} · "
        f"{machine['date']} · load {machine['load']} before, "
        f"{machine['load_after']} after",
        highlight=False,
    )
    compared = result["policies"] == AIMED_AT
    table = Table("figure", "measured", *(("aim", "rival") if compared else ()))
    for key, words, aim, rival in ROWS:
        if key in result["figures"]:
            value = f"{result['figures'][key]:.4g}"
            table.add_row(words, value, *((aim, rival) if compared else ()))
    console.print(table)
    if "profile" in result:
        console.print(_profile_table(result["profile"]["packages"]))


def _profile_table(packages: dict[str, float]) -> Table:
    table = Table("where the time of a create goes", "share")
    for name, share in packages.items():
        table.add_row(name, f"{share:.1%}")
    return table
