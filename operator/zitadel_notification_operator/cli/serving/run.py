"""`znp run`: the operator itself."""

import asyncio
from collections.abc import Callable
from typing import Any

import click

from zitadel_notification_operator.cli.options.classes import class_option
from zitadel_notification_operator.cli.options.declaring import (
    kubeconfig_option,
    option,
    pass_signals,
)
from zitadel_notification_operator.cli.options.durations import Duration
from zitadel_notification_operator.cli.options.own_namespace import own_namespace
from zitadel_notification_operator.cli.process.imports import light_imports
from zitadel_notification_operator.cli.process.signals import Signals
from zitadel_notification_operator.core.lease import LONGEST, SHORTEST

LEASE_DURATION = Duration(SHORTEST, LONGEST, "from 5s to 1h")
"""The type of `--lease-duration`."""


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop factory, or None for asyncio's own if uvloop is missing."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


@click.command(
    name="run", help="Run the operator until SIGTERM; the exit code is then 0."
)
@option(
    "--namespace",
    default=own_namespace,
    help="The operator's own namespace, which has its Secrets and its Lease. "
    "Default: the service account's, else zitadel-notification-operator.",
)
@class_option(
    "Serve the ZitadelInstances of this spec.class, and what names them. Default: "
    "those without a class.",
)
@option(
    "--watch-namespace",
    "watch_namespaces",
    multiple=True,
    help="Watch policies in this namespace only; repeat for more, or separate by "
    "blanks in the variable. Default: all namespaces.",
)
@kubeconfig_option
@option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    default=8080,
    help="The port of /metrics; 0 picks a free one and logs it.",
)
@option(
    "--object-metrics/--no-object-metrics",
    default=True,
    help="Whether /metrics has series for each policy, which are about 700 bytes each "
    "at every scrape. Instances and sets always have theirs.",
)
@option(
    "--health-port",
    type=click.IntRange(0, 65535),
    default=8081,
    help="The port of /healthz and /readyz; 0 picks a free one and logs it.",
)
@option(
    "--bind-address",
    default="",
    help="The address that both ports listen on. Default: all IPv4 and IPv6 addresses.",
)
@option(
    "--log-format",
    type=click.Choice(["json", "text"]),
    default="json",
    help="The format of log lines.",
)
@option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="info",
    help="The lowest level that is logged.",
)
@option(
    "--workers",
    type=click.IntRange(1, 1000),
    default=16,
    help="How many policies of one instance are reconciled in parallel.",
)
@option(
    "--leader-elect/--no-leader-elect",
    default=True,
    help="Elect a leader among several replicas with a Lease; only the leader acts. "
    "Without an election there must be only one replica.",
)
@option(
    "--lease-duration",
    type=LEASE_DURATION,
    default="15s",
    help="How long the standbys wait after the leader has vanished; from 5s to 1h.",
)
@option(
    "--allow-local-urls",
    is_flag=True,
    help="Also connect to instances on loopback and link-local addresses, for trials "
    "and tests.",
)
@pass_signals
def command(
    signals: Signals,
    /,
    *,
    log_format: str,
    log_level: str,
    leader_elect: bool,
    lease_duration: float,
    **others: Any,
) -> None:
    """Read the options, configure logs and run until the end."""
    # Imported here so that `--help` and wrong options are answered at once.
    with light_imports():
        from zitadel_notification_operator.app import Operator, PortTaken, Settings
        from zitadel_notification_operator.cluster.connection import NoCluster
        from zitadel_notification_operator.engine.leader.leadership import LeaseLost
        from zitadel_notification_operator.telemetry.logs import (
            LogFormat,
            configure_logs,
        )

    configure_logs(LogFormat(log_format), log_level.upper())
    lease = lease_duration if leader_elect else None
    operator = Operator(Settings(**others, lease_duration=lease))

    async def run() -> None:
        await signals.keep_to_main_thread()
        try:
            await operator.run()
        finally:
            signals.close()

    try:
        with asyncio.Runner(loop_factory=_fast_loop()) as runner:
            runner.run(run())
    except (NoCluster, PortTaken, LeaseLost) as error:
        raise click.ClickException(str(error)) from error
