"""The table of a run, with the aims and the figures of truvity's operator, if known."""

from typing import Any

from rich.console import Console
from rich.table import Table

AIMED_AT = 1000
"""The number of policies to which the aims and truvity's figures apply."""

Rows = tuple[tuple[str, str, str, str], ...]
"""Figure, meaning, aim, figure of truvity's operator (on the same kind of machine)."""

ROWS: Rows = (
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
    ("create.seconds_floor", "all Ready, times the floor's", "1.3", ""),
    ("edit.seconds_floor", "all edits in ZITADEL, times the floor's", "1.2", ""),
    ("delete.seconds_floor", "all deleted, times the floor's", "1.25", ""),
    ("one_create_p50_ms_floor", "create to Ready, p50, times the floor's", "", ""),
    ("one_patch_p50_ms_floor", "patch to GET, p50, times the floor's", "1.5", ""),
    ("create.cpu_ms_floor", "CPU a new policy, times the floor's", "", ""),
    ("edit.cpu_ms_floor", "CPU an edit, times the floor's", "", ""),
    ("delete.cpu_ms_floor", "CPU a deletion, times the floor's", "", ""),
    ("slow.create.seconds", "slow ZITADEL: all Ready, s", "", ""),
    ("slow.create.seconds_floor", "the same, times the floor's", "1.3", ""),
    ("slow.edit.seconds", "slow ZITADEL: all edits in it, s", "", ""),
    ("slow.edit.seconds_floor", "the same, times the floor's", "1.2", ""),
    ("slow.delete.seconds", "slow ZITADEL: all deleted, s", "", ""),
    ("slow.delete.seconds_floor", "the same, times the floor's", "1.25", ""),
    ("slow.one_patch_p50_ms", "slow ZITADEL: patch to GET, p50, ms", "", ""),
    ("slow.one_patch_p50_ms_floor", "the same, times the floor's", "1.5", ""),
    ("create.calls", "ZITADEL calls, create", "4", "2"),
    ("edit.calls", "ZITADEL calls, change", "3", "1"),
    ("delete.calls", "ZITADEL calls, delete", "2", "1"),
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
    ("rss_0_mib", "memory, no policy, MiB", "", ""),
    ("rss_mib", "memory, N policies, MiB", "110", "60"),
    ("rss_peak_mib", "memory, peak of that, MiB", "", "83"),
    ("rss_10x_mib", "memory, 10 N policies, MiB", "180", ""),
    ("rss_10x_restarted_mib", "the same after a restart, MiB", "", ""),
    ("rss_10x_foreign_mib", "and 60 MB of foreign Secrets, MiB", "180", "159"),
    ("restart_10x.idle", "start to idle, 10 N policies, s", "", ""),
)


STEADY_ROWS: Rows = (
    ("idle_one.calls", "idle, 1 policy: ZITADEL calls", "", ""),
    ("idle_tenth.calls", "idle, N / 10: ZITADEL calls", "as with 1", ""),
    ("idle_all.calls", "idle, N: ZITADEL calls", "as with 1", ""),
    ("idle_one.searches", "of these, searches of events, 1 policy", "all", ""),
    ("idle_tenth.searches", "of these, searches of events, N / 10", "all", ""),
    ("idle_all.searches", "of these, searches of events, N", "all", ""),
    ("idle_one.checks", "apart: checks of the instance, 1 policy", "", ""),
    ("idle_tenth.checks", "apart: checks of the instance, N / 10", "as with 1", ""),
    ("idle_all.checks", "apart: checks of the instance, N", "as with 1", ""),
    ("idle_one.writes", "idle, 1 policy: API writes", "0", ""),
    ("idle_tenth.writes", "idle, N / 10: API writes", "0", ""),
    ("idle_all.writes", "idle, N: API writes", "0", ""),
    ("idle_all.events", "idle, N: Events", "0", ""),
    ("idle_all.leases", "idle, N: writes of the Lease", "", ""),
    ("idle_one.cpu_percent", "idle, 1 policy: CPU, % of a core", "", ""),
    ("idle_all.cpu_percent", "idle, N: CPU, % of a core", "", ""),
    ("restart.calls", "restart, N known: ZITADEL calls", "10", ""),
    ("restart.writes", "restart: API writes", "0", ""),
    ("restart.idle", "restart: start to idle, s", "5", ""),
    ("restart.afterwards", "30 s after: looks, checks, API writes", "0", ""),
    ("drift_one.p50", "drift of one corrected, p50, s", "", ""),
    ("drift_one.max", "drift of one corrected, max, s", "6", ""),
    ("drift_many.p50", "drift of N / 2 corrected, p50, s", "", ""),
    ("drift_many.max", "drift of N / 2 corrected, max, s", "15", ""),
    ("drift_many.writing", "the foreign writes of that, s", "", ""),
    ("drift_many.calls", "ZITADEL calls, correction", "", ""),
    ("drift_many.writes", "API writes, correction", "", ""),
    ("failover_sigkill_5s.p50", "kill -9, lease of 5 s, p50, s", "", ""),
    ("failover_sigkill_5s.max", "kill -9, lease of 5 s, max, s", "6.33", ""),
    ("failover_sigterm_5s.p50", "SIGTERM, lease of 5 s, p50, s", "", ""),
    ("failover_sigterm_5s.max", "SIGTERM, lease of 5 s, max, s", "3", ""),
    ("failover_sigkill_15s.p50", "kill -9, lease of 15 s, p50, s", "", ""),
    ("failover_sigkill_15s.max", "kill -9, lease of 15 s, max, s", "19", ""),
    ("failover_sigterm_15s.p50", "SIGTERM, lease of 15 s, p50, s", "", ""),
    ("failover_sigterm_15s.max", "SIGTERM, lease of 15 s, max, s", "3", ""),
    ("failover.late", "writes of a former one after the next one's", "0", ""),
)

SET_ROWS: Rows = (
    ("plain.create", "N plain policies: all Ready, s", "", ""),
    ("set.create.seconds", "a set over N: all Ready, s", "", ""),
    ("set.create_ratio", "of as many plain policies", "1.7", ""),
    ("plain.edit", "N plain policies: all edits in ZITADEL, s", "", ""),
    ("set.edit.seconds", "one edit of the set: all Ready with it, s", "", ""),
    ("set.edit_ratio", "of as many plain edits", "1.5", ""),
    ("other.edit", "another policy's edit meanwhile, slowest, s", "2", ""),
    ("other.edit_p50", "another policy's edit meanwhile, p50, s", "", ""),
    ("other.edits", "the number of these edits", "", ""),
    ("new.organization", "a new organization has a Ready policy, s", "10", ""),
    ("set.create.writes", "API writes an organization, create", "3", ""),
    ("set.create.calls", "ZITADEL calls an organization, create", "4", ""),
    ("set.edit.writes", "API writes an organization, edit", "", ""),
    ("set.closest", "between two writes of the set's status, at least, s", "2", ""),
    ("set.create.status_writes", "the set's status writes, create", "", ""),
    ("set.busiest", "ZITADEL calls a second in the busiest ten", "the limit", ""),
    ("restart.writes", "restart: API writes", "0", ""),
    ("restart.calls", "restart: ZITADEL calls", "", ""),
    ("idle.writes", "idle: API writes", "0", ""),
    ("idle.calls", "idle: ZITADEL calls", "", ""),
    ("idle.searches", "of these, searches of events", "all", ""),
    ("plain.rss_mib", "memory, N plain policies, MiB", "", ""),
    ("set.rss_mib", "memory, a set over N, MiB", "", ""),
    ("set.rss_ratio", "of as many plain policies", "1.2", ""),
    ("plain.restarted_rss_mib", "restarted, N plain policies, MiB", "", ""),
    ("set.restarted_rss_mib", "restarted, a set over N, MiB", "", ""),
    ("set.restarted_rss_ratio", "of as many plain policies", "1.2", ""),
)


LARGE_ROWS: Rows = (
    ("start.ready", "start to /readyz, s", "", ""),
    ("start.idle", "start to idle, s", "100", ""),
    ("start.cpu", "CPU of that, s", "", ""),
    ("start.calls", "ZITADEL calls of a restart", "", ""),
    ("start.writes", "API writes of a restart", "", ""),
    ("start.longest_ms", "slowest answer of /healthz meanwhile, ms", "200", ""),
    ("start.late_ms", "latest wake-up of the one who asks, ms", "", ""),
    ("start.wrong", "wrong answers of /healthz", "0", ""),
    ("start.rss_mib", "memory, idle after the start, MiB", "400", ""),
    ("start.peak_mib", "memory, peak of the start, MiB", "400", ""),
    ("idle.cpu_percent", "CPU while idle, % of a core", "", ""),
    ("idle.calls", "ZITADEL calls while idle", "", ""),
    ("idle.writes", "API writes while idle", "", ""),
    ("idle.longest_ms", "slowest answer of /healthz while idle, ms", "200", ""),
    ("idle.late_ms", "latest wake-up of the one who asks, ms", "", ""),
    ("idle.wrong", "wrong answers of /healthz", "0", ""),
    ("idle.rss_mib", "memory after that, MiB", "400", ""),
    ("one_patch_p50_ms", "patch to GET, p50, ms", "", ""),
    ("one_patch_p95_ms", "patch to GET, p95, ms", "", ""),
    ("scrape.megabytes", "one scrape of /metrics, MB", "", ""),
    ("scrape.seconds", "one scrape of /metrics, s", "", ""),
    ("scrape.longest_ms", "slowest answer of /healthz meanwhile, ms", "200", ""),
    ("end.peak_mib", "memory, peak of all, MiB", "400", ""),
    ("made", "real policies that the made-up ones are equal to", "", ""),
)

SOAK_ROWS: Rows = (
    ("slope.bytes_per_call", "the longest life: slope, bytes a call", "200", ""),
    ("slope.mib_per_hour", "the same over time, MiB an hour", "", ""),
    ("slope.growth_mib", "growth of that, MiB", "12", ""),
    ("slope.minutes", "in so many minutes (its first quarter left out)", "", ""),
    ("slope.calls", "and so many ZITADEL calls", "", ""),
    ("slope.largest", "the steepest life: slope, bytes a call", "", ""),
    ("memory.peak_mib", "memory, peak of all lives, MiB", "", ""),
    ("memory.settled_mib", "memory when all has settled, MiB", "", ""),
    ("settled", "until all has settled, s", "", ""),
    ("mismatches", "policies that are not as they should be then", "0", ""),
    ("ends", "the operator ended by itself", "0", ""),
    ("health.wrong", "wrong answers of /healthz", "0", ""),
    ("health.asked", "of so many", "", ""),
    ("health.longest_ms", "slowest answer of /healthz, ms", "", ""),
    ("health.late_ms", "latest wake-up of the one who asks, ms", "", ""),
    ("calls", "ZITADEL calls", "", ""),
    ("writes", "API writes", "", ""),
    ("events", "writes of Events", "", ""),
    ("lives", "lives", "", ""),
    ("count.edit", "edits by users", "", ""),
    ("count.foreign", "edits by somebody else in ZITADEL", "", ""),
    ("count.create", "policies created", "", ""),
    ("count.delete", "policies deleted", "", ""),
    ("count.failed", "of all these, calls that failed", "", ""),
    ("count.zitadel_fault", "faults of ZITADEL's answers", "", ""),
    ("count.loss", "events that its read side lost", "", ""),
    ("count.zitadel_away", "ZITADEL was away", "", ""),
    ("count.kubernetes_fault", "faults of Kubernetes' answers", "", ""),
    ("count.kubernetes_away", "the API server was restarted", "", ""),
    ("count.watches", "all watches were ended", "", ""),
    ("count.secret", "the credential's Secret was touched", "", ""),
    ("count.restart", "restarts of the operator", "", ""),
)


def markdown(result: dict[str, Any], rows: Rows = ROWS) -> str:
    """Return the figures as a Markdown table, for `docs/performance.md`."""
    width = _width(rows)
    lines = [
        _line(("figure", "measured", "aim", "truvity")[:width]),
        "|---" * width + "|",
    ]
    for key, *texts in rows:
        if key in result["figures"]:
            value = _text(result["figures"][key])
            lines.append(_line((texts[0], value, *texts[1:])[:width]))
    return "\n".join(lines) + "\n"


def show(result: dict[str, Any], console: Console, rows: Rows = ROWS) -> None:
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
    width = _width(rows) if result["policies"] == AIMED_AT else 2
    table = Table(*("figure", "measured", "aim", "truvity")[:width])
    for key, words, aim, other in rows:
        if key in result["figures"]:
            value = _text(result["figures"][key])
            table.add_row(*(words, value, aim, other)[:width])
    console.print(table)
    if "profile" in result:
        console.print(_profile_table(result["profile"]["packages"]))


def _text(value: float) -> str:
    """Return a figure with four digits, but a count with all of its own."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _width(rows: Rows) -> int:
    """Return the number of columns, without truvity's if none is known."""
    return 4 if any(other for *_, other in rows) else 3


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _profile_table(packages: dict[str, float]) -> Table:
    table = Table("where the time of a create goes", "share")
    for name, share in packages.items():
        table.add_row(name, f"{share:.1%}")
    return table
