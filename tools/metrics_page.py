"""Write docs/reference/metrics.md from the definitions in the code.

    python tools/metrics_page.py [--check]

With `--check` the script writes nothing, and fails if the page is out of date. It
imports the package, so run it with the Python of `make init`.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from zitadel_notification_operator.telemetry.definitions import Definition, definitions
from zitadel_notification_operator.telemetry.metrics import Metrics

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "metrics.md"
HEAD = """\
# Metrics

`/metrics` on `--metrics-port` (8080) answers in Prometheus' text format. This page is
written by `tools/metrics_page.py` from the code. What to watch:
[alerts](../operations/alerts.md).

Names of controller-runtime are used where it has one, so dashboards made for it work.
`controller` and `name` are `notificationpolicy` or `zitadelinstance`; a search for an
instance's events counts as a pass over that instance. No label holds an id, an address
of ZITADEL or the text of an error.

"""
OBJECTS = """
## Series of each object

`znp_status_condition`, `znp_last_successful_sync_timestamp_seconds`,
`znp_zitadel_inconsistent` and `znp_credential_expiry_timestamp_seconds` are read from
the operator's inventory when they are scraped, and end with their object. Only the
replica that leads tells them, so each object is told once. A policy in order has five:
True and False of `Ready` and of `InSync`, and the time of its last pass. `Reconciling`
and `Stalled` have theirs only while they are True, and `znp_zitadel_inconsistent` is
there only for objects that [say so](../concepts/two-sides.md). The labels `kind`,
`namespace` and `name` are those of Kubernetes; `namespace` is empty for a
ZitadelInstance.

Prometheus puts the labels of the scraped pod beside them and calls ours
`exported_namespace`, unless the scrape has `honorLabels: true`; the chart's monitors do
not set it. The alerts take both.

Ten thousand policies are fifty thousand series, 7 MB of text and about 0.1 s of the
processor a scrape; passes go on meanwhile. Who takes the conditions from
kube-state-metrics ([monitor](../how-to/monitor.md#with-kube-state-metrics)) can leave
them out, by the value `serviceMonitor.metricRelabelings` or that of `podMonitor`. The
alert ZitadelNotificationPolicyNotReady is silent then.

```yaml
metricRelabelings:
  - sourceLabels: [__name__, kind]
    regex: znp_(status_condition|last_successful_sync.*);NotificationPolicy
    action: drop
```

## Process and Python

From the client library:

"""


def main() -> int:
    """Write or check the page and return the exit code."""
    parser = argparse.ArgumentParser(description="Write docs/reference/metrics.md.")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    options = parser.parse_args()
    text = page()
    if not options.check:
        PAGE.write_text(text)
        return 0
    if PAGE.exists() and PAGE.read_text() == text:
        return 0
    print(f"{PAGE.name} is not what the code says: run tools/metrics_page.py")
    return 1


def page() -> str:
    """Return the text of the page."""
    own = list(definitions())
    return (
        HEAD
        + table(own)
        + OBJECTS
        + "| name | type | meaning |\n|---|---|---|\n"
        + "".join(f"{line}\n" for line in sorted(library({d.name for d in own})))
    )


def table(metrics: list[Definition]) -> str:
    """Return the table of the operator's own metrics, in the order of the code."""
    lines = ["| name | type | labels | meaning |", "|---|---|---|---|"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        meaning = metric.help.replace("|", "\\|").replace("<", "\\<")
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {meaning} |")
    return "".join(f"{line}\n" for line in lines)


def library(own: set[str]) -> Iterator[str]:
    """Yield a table row for each metric that the client library adds."""
    metrics = Metrics("", "", lambda: False, 1)
    for family in metrics.registry.collect():
        total = "_total" if family.type == "counter" else ""
        name = family.name + total
        if name not in own:
            yield f"| `{name}` | {family.type} | {family.documentation.strip()} |"


if __name__ == "__main__":
    sys.exit(main())
