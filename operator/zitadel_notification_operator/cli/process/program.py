"""By which name the command line was called: `znp`, or as a plugin of kubectl."""

from pathlib import PurePath

import click

NAME = "znp"
"""The name of the command."""

COMPLETE_VARIABLE = "_ZNP_COMPLETE"
"""The variable by which the completion scripts of shells call `znp`."""

_PLUGIN = "kubectl-"


def program_name(path: str) -> str:
    """Return the name that usage texts show.

    Args:
        path: The path by which this process was started, `sys.argv[0]`.

    Returns:
        `kubectl zitadel-notification` if it was started by kubectl as a plugin: kubectl
        finds that in the executable `kubectl-zitadel_notification`. Otherwise `znp`.
    """
    name = PurePath(path).name
    if not name.startswith(_PLUGIN):
        return NAME
    words = name.removeprefix(_PLUGIN).replace("-", " ").replace("_", "-")
    return f"kubectl {words}"


def called_as() -> str:
    """Return the name by which the running command line was called."""
    context = click.get_current_context(silent=True)
    name = context.find_root().info_name if context else None
    return name or NAME
