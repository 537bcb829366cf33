"""`znp demo`: a walk-through of the whole system on this machine."""

import sys
import time
from pathlib import Path

import click

from zitadel_notification_operator.cli.options.declaring import (
    FILE,
    option,
    pass_signals,
)
from zitadel_notification_operator.cli.process.signals import INTERRUPTED, Signals

from .extras import require_demo


@click.command(
    name="demo",
    help="Start Kubernetes, a ZITADEL (emulator) and the operator on this machine, "
    "apply examples/quickstart, and show what a user would see. Run it from a "
    "checkout.",
)
@option(
    "--keep",
    is_flag=True,
    help="Keep everything running after the walk-through, until Ctrl-C, and print the "
    "KUBECONFIG.",
)
@option(
    "--kubeconfig",
    type=FILE,
    help="Use this existing cluster, which must not have the CRDs yet, and remove "
    "everything at the end. Default: a new control plane on this machine.",
)
@pass_signals
def command(signals: Signals, /, *, keep: bool, kubeconfig: Path | None) -> None:
    """Run the walk-through; exit with 0 only if each step showed what it promises."""
    require_demo()
    from rich.console import Console

    from zitadel_notification_operator.demo.binaries import MissingBinaries
    from zitadel_notification_operator.demo.control_plane import (
        ControlPlane,
        StartFailed,
    )
    from zitadel_notification_operator.demo.existing_cluster import (
        ClusterInUse,
        ExistingCluster,
    )
    from zitadel_notification_operator.demo.walk import Demo, DemoFailed

    checkout = Path.cwd()
    if not (checkout / "examples" / "quickstart").is_dir():
        raise click.ClickException("Run znp demo from a checkout of the project")
    console = Console(soft_wrap=True)
    try:
        # On a signal, the folder with the control plane's keys must be deleted.
        signals.raise_interrupt()
        if kubeconfig is None:
            console.print("Starting Kubernetes: etcd and kube-apiserver, on loopback")
            cluster: ControlPlane | ExistingCluster = ControlPlane()
        else:
            cluster = ExistingCluster(kubeconfig)
        with cluster:
            demo = Demo(console, checkout, cluster)
            try:
                demo.start()
                demo.walk()
                if keep:
                    demo.tell_what_runs()
                    _keep()
            finally:
                demo.stop()
        console.rule("Done: nothing of it is left")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except (ClusterInUse, DemoFailed, MissingBinaries, StartFailed) as error:
        raise click.ClickException(str(error)) from error
    finally:
        signals.close()


def _keep() -> None:
    click.echo("It goes on until Ctrl-C")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo("Stopping")
