"""The command line of the emulator: its options, its output and its end.

The command is made for a name, because `znp emulator` of the operator is the same
command with the operator's prefix of environment variables. Only click is imported
before the command runs, so that its help is quick.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .signals import ignore, keep_to_main_thread, set_at_a_signal

if TYPE_CHECKING:
    from .server import Emulator, Tls

TRIAL_TOKEN = "emulator-owner-token"  # noqa: S105 - of an emulator, for trials

HELP = (
    "Run an emulated ZITADEL for trials and tests, until SIGTERM; the exit code is "
    "then 0. Its URL is the first line on stdout. It keeps everything in memory and "
    "must not be used with real secrets."
)

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_MOST_SHOWN = 10


def new_command(
    name: str = "zitadel-emulator", variables: str = "ZITADEL_EMULATOR"
) -> click.Command:
    """Return the command that serves an emulator until SIGTERM or SIGINT.

    The caller should have called `signals.exit_at_once`, or have handlers of the same
    effect, so that a signal before the first line on stdout ends the process with 0.

    Args:
        name: The name of the command in its help.
        variables: The prefix of the environment variables that set its options, such
            as `ZITADEL_EMULATOR` for `ZITADEL_EMULATOR_PORT`.
    """
    return click.Command(
        name,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_run,
        help=HELP,
        params=_options(variables),
    )


def _options(prefix: str) -> list[click.Parameter]:
    def option(flag: str, *more: str, **settings: Any) -> click.Parameter:
        return click.Option(
            [flag, *more],
            envvar=f"{prefix}_{flag.lstrip('-').replace('-', '_').upper()}",
            show_envvar=True,
            show_default="default" in settings,
            **settings,
        )

    return [
        option(
            "--port",
            type=click.IntRange(0, 65535),
            default=8085,
            help="The port to listen on; 0 picks a free one.",
        ),
        option(
            "--host",
            default="127.0.0.1",
            help="The address to listen on; anybody who can connect to it may do "
            "anything.",
        ),
        option(
            "--token",
            default=TRIAL_TOKEN,
            callback=_sendable,
            help="Personal access token of an IAM_OWNER.",
        ),
        option(
            "--organizations",
            type=click.IntRange(0, 100_000),
            default=2,
            help="The number of organizations in addition to the credential's own.",
        ),
        option(
            "--domain",
            "domains",
            multiple=True,
            help="One more host that it answers to, without a port; may be repeated.",
        ),
        option(
            "--policy-flag",
            "policy_flags",
            multiple=True,
            help="One more boolean flag of policies besides passwordChange; may be "
            "repeated.",
        ),
        option(
            "--tls-cert",
            type=_FILE,
            help="Serve https with this certificate (PEM); needs --tls-key.",
        ),
        option(
            "--tls-key",
            type=_FILE,
            help="The certificate's key (PEM, not encrypted).",
        ),
    ]


def _sendable(_: click.Context, __: click.Parameter, token: str) -> str:
    if not token.isascii() or not token.isprintable() or not token or " " in token:
        raise click.BadParameter("must be printable ASCII without blanks")
    return token


def _run(
    port: int, host: str, tls_cert: Path | None, tls_key: Path | None, **zitadel: Any
) -> None:
    if (tls_cert is None) is not (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    import asyncio
    import ssl

    from .faults import BadControl
    from .server import Tls, new_emulator

    tls = Tls(tls_cert, tls_key) if tls_cert and tls_key else None
    try:
        emulator = new_emulator(**zitadel)
    except BadControl as error:
        raise click.BadParameter(str(error), param_hint="--policy-flag") from error
    try:
        asyncio.run(_serve(emulator, host, port, tls))
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


async def _serve(emulator: "Emulator", host: str, port: int, tls: "Tls | None") -> None:
    import asyncio

    from .server import serve

    await keep_to_main_thread()
    stop = asyncio.Event()
    set_at_a_signal(stop)
    async with serve(emulator, host, port, tls):
        click.echo(emulator.url)
        orgs = emulator.zitadel.organizations()
        # Few lines: a reader that only wants the URL must not block us by a full pipe.
        for org in orgs[:_MOST_SHOWN]:
            click.echo(f"organization {org.id} {org.name}")
        if len(orgs) > _MOST_SHOWN:
            click.echo(f"and {len(orgs) - _MOST_SHOWN} organizations more")
        await stop.wait()
    ignore()
