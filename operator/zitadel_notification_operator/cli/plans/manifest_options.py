"""The options of the commands that write manifests."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from zitadel_notification_operator.cli.connecting.cluster_options import (
    namespace_of_option,
)
from zitadel_notification_operator.cli.options.declaring import option
from zitadel_notification_operator.core.names import is_name

F = TypeVar("F", bound=Callable[..., Any])

FORMATS = ("yaml", "json")


def manifest_options(function: F) -> F:
    """Add `-n`, `--instance-ref` and `-o` to a command that writes manifests."""
    namespace = option(
        "--namespace",
        "-n",
        variable="OBJECTS_NAMESPACE",
        callback=namespace_of_option,
        help="Write this metadata.namespace. Default: none, so that kubectl apply -n "
        "decides.",
    )
    instance = option(
        "--instance-ref",
        callback=_instance,
        metavar="NAME",
        help="Write this instanceRef. Default: that of --instance where there is one, "
        "else none, which means default.",
    )
    output = option(
        "--output",
        "-o",
        type=click.Choice(FORMATS),
        default="yaml",
        help="YAML with comments, or a List in JSON.",
    )
    return namespace(instance(output(function)))


def _instance(
    _context: click.Context, _parameter: click.Parameter, name: str | None
) -> str:
    if name and not is_name(name):
        raise click.BadParameter(f"{name!r} is not the name of a ZitadelInstance")
    return name or ""
