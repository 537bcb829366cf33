"""`znp demo`: the whole thing on this machine, step by step."""

import sys
import time
from pathlib import Path

import click


@click.command(
    name="demo",
    help="Start Kubernetes, a ZITADEL (emulator) and the operator on this machine, "
    "apply examples/quickstart, and show what a user would see. Run it from a "
    "checkout.",
)
@click.option(
    "--keep",
    envvar="ZNP_KEEP",
    is_flag=True,
    help="Leave it running at the end and print the KUBECONFIG; ends with Ctrl-C.",
)
def command(keep: bool) -> None:  # noqa: FBT001 - click passes flags so
    """Walk through; exit code 0 only when each step showed what it promises."""
    from rich.console import Console

    from zitadel_notification_operator.demo.binaries import MissingBinaries
    from zitadel_notification_operator.demo.control_plane import (
        ControlPlane,
        StartFailed,
    )
    from zitadel_notification_operator.demo.walk import Demo, DemoFailed

    checkout = Path.cwd()
    if not (checkout / "examples" / "quickstart").is_dir():
        raise click.ClickException("Run znp demo from a checkout of the project")
    console = Console(soft_wrap=True)
    console.print("Starting Kubernetes: etcd and kube-apiserver, on loopback")
    try:
        with ControlPlane() as plane:
            demo = Demo(console, checkout, plane)
            try:
                demo.start()
                demo.walk()
                if keep:
                    _keep(plane.kubeconfig)
            finally:
                demo.stop()
    except KeyboardInterrupt:
        sys.exit(130)
    except (MissingBinaries, StartFailed, DemoFailed) as error:
        raise click.ClickException(str(error)) from error


def _keep(kubeconfig: Path) -> None:
    click.echo(f"It goes on until Ctrl-C: export KUBECONFIG={kubeconfig}")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo("Stopping")
