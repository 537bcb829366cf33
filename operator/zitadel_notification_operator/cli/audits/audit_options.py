"""What the commands that audit share: their options, and the right that they need."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zitadel_notification_operator.cli.options.declaring import option

if TYPE_CHECKING:
    from zitadel_notification_operator.zitadel.client import ZitadelClient

F = TypeVar("F", bound=Callable[..., Any])


class Since(click.ParamType[datetime]):
    """The beginning of a period, converted to a time in UTC."""

    name = "since"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time, or fail with a message that shows examples."""
        from zitadel_notification_operator.auditing.period import parse_since

        try:
            return parse_since(str(value), datetime.now(UTC))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def since_option(default: str | None = None) -> Callable[[F], F]:
    """Add `--since` to a command.

    Args:
        default: How long ago the period begins; None for the beginning of the log.
    """
    return option(
        "--since",
        type=Since(),
        default=default,
        metavar="WHEN",
        help="Only changes since then: a duration such as 30d or 12h, or a time such "
        "as 2026-01-31T08:00:00Z.",
    )


def format_option(*formats: str, also: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Add `-o` to a command.

    Args:
        formats: The formats; the first one is the default.
        also: Other names of the option.
    """
    return option(
        "--format",
        *also,
        "-o",
        "form",
        type=click.Choice(formats),
        default=formats[0],
        help="The format of the output.",
    )


async def require_events(client: "ZitadelClient") -> None:
    """Require that the credential may read ZITADEL's events.

    Raises:
        click.ClickException: It may not; the text says which role to give.
        OperatorError: ZITADEL does not say.
    """
    from zitadel_notification_operator.auditing.rights import EVENTS, check

    if not (await check(client, EVENTS)).is_granted:
        user = await client.user()
        raise click.ClickException(
            f"The credential's user {user.name} ({user.id}) may not {EVENTS.what}; "
            f"{EVENTS.advice}, or use the credential of another user"
        )
