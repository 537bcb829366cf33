"""The option that says which class of instances an operator serves."""

from collections.abc import Callable
from typing import TypeVar

import click

from zitadel_notification_operator.core.names import is_class

from .declaring import option

F = TypeVar("F", bound=Callable[..., object])


def class_option(text: str) -> Callable[[F], F]:
    """Add `--class` to a command; its parameter is `operator_class`.

    Args:
        text: The help.
    """
    return option(
        "--class",
        "operator_class",
        default="",
        metavar="CLASS",
        callback=_class,
        help=text,
    )


def _class(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    if not is_class(text):
        raise click.BadParameter(
            f"{text!r} is not a class: use at most 30 lower case letters, digits and "
            "-, such as canary"
        )
    return text
