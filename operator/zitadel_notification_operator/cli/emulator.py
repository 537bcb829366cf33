"""`znp emulator`: a ZITADEL for trials and tests."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import click

from zitadel_notification_operator.emulator.faults import BadControl
from zitadel_notification_operator.emulator.server import (
    Emulator,
    Tls,
    new_emulator,
    serve,
)

from .commands import FILE, option, pass_signals
from .signals import ENDING, Signals

TRIAL_TOKEN = "emulator-owner-token"  # noqa: S105 - of an emulator, for trials

_MOST_SHOWN = 10


def _sendable(_: click.Context, __: click.Parameter, token: str) -> str:
    if not token.isascii() or not token.isprintable() or not token or " " in token:
        raise click.BadParameter("must be printable ASCII without blanks")
    return token


@click.command(
    name="emulator",
    help="Run an emulated ZITADEL for trials and tests, until SIGTERM; the exit code "
    "is then 0. Its URL is the first line on stdout. It keeps everything in memory "
    "and must not be used with real secrets.",
)
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8085,
    help="The port to listen on; 0 picks a free one.",
)
@option(
    "--host",
    default="127.0.0.1",
    help="The address to listen on; anybody who can connect to it may do anything.",
)
@option(
    "--token",
    default=TRIAL_TOKEN,
    callback=_sendable,
    help="Personal access token of an IAM_OWNER.",
)
@option(
    "--organizations",
    type=click.IntRange(0, 100_000),
    default=2,
    help="The number of organizations in addition to the credential's own.",
)
@option(
    "--domain",
    "domains",
    multiple=True,
    help="One more host that it answers to, without a port; may be repeated.",
)
@option(
    "--policy-flag",
    "policy_flags",
    multiple=True,
    help="One more boolean flag of policies besides passwordChange; may be repeated.",
)
@option(
    "--tls-cert",
    type=FILE,
    help="Serve https with this certificate (PEM); needs --tls-key.",
)
@option("--tls-key", type=FILE, help="The certificate's key (PEM, not encrypted).")
@pass_signals
def command(
    signals: Signals,
    /,
    port: int,
    host: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    **zitadel: Any,
) -> None:
    """Serve until SIGTERM or SIGINT."""
    if (tls_cert is None) is not (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    tls = Tls(tls_cert, tls_key) if tls_cert and tls_key else None
    try:
        emulator = new_emulator(**zitadel)
    except BadControl as error:
        raise click.BadParameter(str(error), param_hint="--policy-flag") from error
    try:
        asyncio.run(_serve(signals, emulator, host, port, tls))
    except ssl.SSLError as error:
        raise click.ClickException(
            f"Cannot use {tls_cert} with {tls_key}: {error.reason or error}; "
            "both must be PEM, and the key not encrypted"
        ) from error
    except OSError as error:
        raise click.ClickException(
            f"Cannot listen on {host}:{port}: {error.strerror or error}; "
            "choose another --port (0 picks a free one) or --host"
        ) from error


async def _serve(
    signals: Signals, emulator: Emulator, host: str, port: int, tls: Tls | None
) -> None:
    await signals.keep_to_main_thread()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in ENDING:
        loop.add_signal_handler(number, stop.set)
    async with serve(emulator, host, port, tls):
        click.echo(emulator.url)
        orgs = emulator.zitadel.organizations()
        # Few lines: a reader that only wants the URL must not block us by a full pipe.
        for org in orgs[:_MOST_SHOWN]:
            click.echo(f"organization {org.id} {org.name}")
        if len(orgs) > _MOST_SHOWN:
            click.echo(f"and {len(orgs) - _MOST_SHOWN} organizations more")
        await stop.wait()
    signals.close()
