"""The options that name a cluster and objects in it, as kubectl spells them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from zitadel_notification_operator.cli.options.declaring import (
    kubeconfig_option,
    option,
)
from zitadel_notification_operator.core.names import is_label

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Which cluster, and which of its objects.

    Attributes:
        kubeconfig: The kubeconfig file; None to search for one.
        context: Its context; empty for the current one.
        namespace: The namespace of the objects; empty for that of the context.
        all_namespaces: Whether objects of all namespaces are meant.
        selector: A label selector; empty for all objects.
    """

    kubeconfig: Path | None = None
    context: str = ""
    namespace: str = ""
    all_namespaces: bool = False
    selector: str = ""

    @classmethod
    def take(cls, options: dict[str, Any]) -> "ClusterOptions":
        """Take these options out of a command's parameters.

        Raises:
            click.UsageError: Both a namespace and all namespaces are named.
        """
        names = cls.__dataclass_fields__
        taken = {name: options.pop(name) for name in names if name in options}
        given = cls(**{name: value for name, value in taken.items() if value})
        if given.namespace and given.all_namespaces:
            raise click.UsageError("Name a namespace or say -A, not both")
        return given

    def effective_namespace(self) -> str:
        """Return the namespace of the objects; empty for all namespaces.

        Raises:
            NoCluster: The kubeconfig cannot be used.
        """
        if self.all_namespaces or self.namespace:
            return "" if self.all_namespaces else self.namespace
        from zitadel_notification_operator.cluster.connection import namespace_of

        return namespace_of(self.kubeconfig, self.context)


def namespace_of_option(
    _context: click.Context, _parameter: click.Parameter, name: str | None
) -> str:
    """Return the value of `-n`; empty if it is not given.

    Raises:
        click.BadParameter: No namespace can have this name.
    """
    if name and not is_label(name):
        raise click.BadParameter(f"{name!r} is not the name of a namespace")
    return name or ""


def cluster_options(function: F) -> F:
    """Add `--kubeconfig` and `--context` to a command."""
    context = option("--context", help="The context of the kubeconfig file.")
    return kubeconfig_option(context(function))


def object_options(function: F) -> F:
    """Add `-n`, `-A` and `-l` to a command."""
    namespace = option(
        "--namespace",
        "-n",
        variable="OBJECTS_NAMESPACE",
        callback=namespace_of_option,
        help="The namespace of the objects. Default: that of the kubeconfig's context, "
        "else default.",
    )
    everywhere = option(
        "--all-namespaces", "-A", is_flag=True, help="Objects of all namespaces."
    )
    selector = option("--selector", "-l", help="A label selector, such as team=web.")
    return namespace(everywhere(selector(function)))
