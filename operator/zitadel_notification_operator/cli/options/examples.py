"""A command whose help ends with examples, which name the program as it was called."""

import re
from typing import Any

import click

from zitadel_notification_operator.cli.process.program import NAME, called_as

_PROGRAM = re.compile(rf"\b{NAME}\b")


class ExampleCommand(click.Command):
    """A click command with examples in its help.

    Args:
        arguments: As `click.Command` takes them.
        examples: Lines to type, each of which calls `znp`.
        settings: As `click.Command` takes them.
    """

    def __init__(
        self, *arguments: Any, examples: tuple[str, ...] = (), **settings: Any
    ) -> None:
        super().__init__(*arguments, **settings)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, unwrapped so that they can be copied."""
        name = called_as()
        with formatter.section("Examples"):
            indent = " " * formatter.current_indent
            for line in self.examples:
                formatter.write(f"{indent}{_PROGRAM.sub(name, line)}\n")
