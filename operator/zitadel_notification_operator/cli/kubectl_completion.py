"""Completes the plugin for kubectl: the executable `kubectl_complete-…`.

kubectl calls it with the words after the plugin's name, of which the last is the one to
complete, perhaps empty. The answer is that of cobra, the library of kubectl's command
line: a line for each proposal, with its help after a tab, and at last a line with a
colon and a number, which says what the shell does beside that.
"""

import sys
from collections.abc import Iterable, Sequence

import click
from click.shell_completion import CompletionItem, ShellComplete

from .process.output import open_streams, tell_unwritable
from .process.program import COMPLETE_VARIABLE, program_name

NO_FILES = 4
"""cobra's ShellCompDirectiveNoFileComp: propose no names of files."""

FILES = 0
"""cobra's ShellCompDirectiveDefault: if there is no proposal, propose files."""

FOLDERS = 16
"""cobra's ShellCompDirectiveFilterDirs: propose folders only."""

_DIRECTIVES = {"file": FILES, "dir": FOLDERS}


def main() -> None:
    """Answer kubectl; the words are those of the process."""
    from .group import znp

    *words, incomplete = sys.argv[1:] or [""]
    name = program_name("kubectl-zitadel_notification")
    open_streams()
    try:
        click.echo("\n".join(to_cobra(propose(znp, name, words, incomplete))))
    except OSError as error:
        sys.exit(tell_unwritable(error))


def propose(
    group: click.Command, name: str, words: Sequence[str], incomplete: str
) -> list[CompletionItem]:
    """Return what click proposes.

    Args:
        group: The command line.
        name: The name by which it is called.
        words: The complete words after that name.
        incomplete: The beginning of the word to complete.
    """
    shell = ShellComplete(group, {}, name, COMPLETE_VARIABLE)
    return shell.get_completions(list(words), incomplete)


def to_cobra(items: Iterable[CompletionItem]) -> list[str]:
    """Return the lines of cobra's answer for click's proposals."""
    directive, lines = NO_FILES, []
    for item in items:
        if item.type in _DIRECTIVES:
            directive = _DIRECTIVES[item.type]
            continue
        help_text = " ".join((item.help or "").split())
        lines.append(f"{item.value}\t{help_text}" if help_text else str(item.value))
    return [*lines, f":{directive}"]
