"""What the extra `[demo]` installs, and what to say where it is not installed."""

from importlib.util import find_spec

import click

DEMO = ("rich", "zitadel_emulator")
"""The packages of the extra `[demo]`, by the names under which they are imported."""


def require_demo() -> None:
    """Require the packages of the extra `[demo]`, without importing them.

    Raises:
        click.ClickException: One is missing; the text says what to install.
    """
    if not all(find_spec(name) for name in DEMO):
        raise click.ClickException(
            "This command needs more than the operator. In a checkout, `make init` "
            "installs it; elsewhere "
            'pip install "zitadel-notification-operator[demo]"'
        )
