"""`znp emulator`: the command of the distribution zitadel-emulator, under our name.

The operator needs no emulator, and its image has none. Where that distribution is not
installed, the command says what to install.
"""

from importlib.util import find_spec

import click

from .extras import require_demo


def _absent() -> click.Command:
    """Return a command that takes any arguments and says what to install."""
    return click.Command(
        "emulator",
        callback=lambda **_: require_demo(),
        context_settings={"ignore_unknown_options": True},
        help="Run an emulated ZITADEL for trials and tests. It is not installed here.",
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
    )


def _present() -> click.Command:
    from zitadel_emulator.command import new_command

    return new_command("emulator", "ZNP")


command = _present() if find_spec("zitadel_emulator") else _absent()
