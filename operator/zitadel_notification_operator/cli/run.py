"""`znp run`: the operator itself."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zitadel_notification_operator.cli.commands import pass_signals
from zitadel_notification_operator.cli.signals import Signals
from zitadel_notification_operator.core.durations import parse_duration
from zitadel_notification_operator.core.lease import LONGEST, SHORTEST

if TYPE_CHECKING:
    from zitadel_notification_operator.app import Operator

_SERVICE_ACCOUNT_NAMESPACE = Path(
    "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
)
_FALLBACK_NAMESPACE = "zitadel-notification-operator"


def own_namespace() -> str:
    """Return the service account's namespace, or the usual one outside a pod."""
    try:
        return _SERVICE_ACCOUNT_NAMESPACE.read_text().strip()
    except OSError:
        return _FALLBACK_NAMESPACE


class LeaseDuration(click.ParamType[float]):
    """A duration as Kubernetes writes it, converted to seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds, or fail with a message about what is wrong."""
        try:
            seconds = parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not SHORTEST <= seconds <= LONGEST:
            self.fail(f"{value!r} is not from 5s to 1h", param, ctx)
        return seconds


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop factory, or None for asyncio's own if uvloop is missing."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(operator: "Operator", signals: Signals) -> None:
    try:
        await operator.run()
    finally:
        signals.close()


@click.command(name="run", help="Run the operator until SIGTERM; exit code 0 then.")
@click.option(
    "--namespace",
    envvar="ZNP_NAMESPACE",
    show_envvar=True,
    default=own_namespace,
    help="The operator's own namespace, where Secrets are read. "
    "Default: the service account's, else zitadel-notification-operator.",
)
@click.option(
    "--watch-namespace",
    "watch_namespaces",
    envvar="ZNP_WATCH_NAMESPACE",
    show_envvar=True,
    multiple=True,
    help="Watch policies here only; repeat for more, or separate by blanks in the "
    "variable. Default: everywhere.",
)
@click.option(
    "--kubeconfig",
    envvar="ZNP_KUBECONFIG",
    show_envvar=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A kubeconfig file. Default: in-cluster, then KUBECONFIG, then "
    "~/.kube/config.",
)
@click.option(
    "--metrics-port",
    envvar="ZNP_METRICS_PORT",
    show_envvar=True,
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Serves /metrics; 0 picks a free port and logs it.",
)
@click.option(
    "--health-port",
    envvar="ZNP_HEALTH_PORT",
    show_envvar=True,
    type=click.IntRange(0, 65535),
    default=8081,
    show_default=True,
    help="Serves /healthz and /readyz; 0 picks a free port and logs it.",
)
@click.option(
    "--bind-address",
    envvar="ZNP_BIND_ADDRESS",
    show_envvar=True,
    default="",
    help="Where both ports listen. Default: on every address, by IPv4 and IPv6.",
)
@click.option(
    "--log-format",
    envvar="ZNP_LOG_FORMAT",
    show_envvar=True,
    type=click.Choice(["json", "text"]),
    default="json",
    show_default=True,
    help="How log lines are written.",
)
@click.option(
    "--log-level",
    envvar="ZNP_LOG_LEVEL",
    show_envvar=True,
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="info",
    show_default=True,
    help="The least that is logged.",
)
@click.option(
    "--workers",
    envvar="ZNP_WORKERS",
    show_envvar=True,
    type=click.IntRange(1, 1000),
    default=16,
    show_default=True,
    help="How many policies of one instance are worked on at one time.",
)
@click.option(
    "--leader-elect/--no-leader-elect",
    envvar="ZNP_LEADER_ELECT",
    show_envvar=True,
    default=True,
    show_default=True,
    help="Of several replicas let only the holder of a Lease act. Without it there "
    "must never be a second one.",
)
@click.option(
    "--lease-duration",
    envvar="ZNP_LEASE_DURATION",
    show_envvar=True,
    type=LeaseDuration(),
    default="15s",
    show_default=True,
    help="How long the others wait when the acting replica vanishes; from 5s to 1h.",
)
@click.option(
    "--allow-local-urls",
    envvar="ZNP_ALLOW_LOCAL_URLS",
    show_envvar=True,
    is_flag=True,
    help="Connect to instances on loopback and link-local addresses, too: for trials "
    "and tests.",
)
@pass_signals
def command(
    signals: Signals,
    /,
    namespace: str,
    watch_namespaces: tuple[str, ...],
    kubeconfig: Path | None,
    bind_address: str,
    **options: str | float | bool,
) -> None:
    """Read the options, configure logs and run until the end."""
    # Imported here so that `--help` and wrong options are answered at once.
    from zitadel_notification_operator.app import Operator, PortTaken, Settings
    from zitadel_notification_operator.cluster.connection import NoCluster
    from zitadel_notification_operator.engine.leader.leadership import LeaseLost
    from zitadel_notification_operator.telemetry.logs import LogFormat, configure_logs

    configure_logs(
        LogFormat(str(options["log_format"])), str(options["log_level"]).upper()
    )
    settings = Settings(
        namespace=namespace,
        watch_namespaces=watch_namespaces,
        kubeconfig=kubeconfig,
        bind_address=bind_address,
        health_port=int(options["health_port"]),
        metrics_port=int(options["metrics_port"]),
        allow_local_urls=bool(options["allow_local_urls"]),
        workers=int(options["workers"]),
        lease_duration=(
            float(options["lease_duration"]) if options["leader_elect"] else None
        ),
    )
    try:
        with asyncio.Runner(loop_factory=_fast_loop()) as runner:
            runner.run(_run(Operator(settings), signals))
    except (NoCluster, PortTaken, LeaseLost) as error:
        raise click.ClickException(str(error)) from error
