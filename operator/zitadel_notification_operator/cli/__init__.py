"""The `znp` command: one file per subcommand, options also by environment variable.

The rooms, of which each imports only from those below it (import-linter checks it):

    group, completion, kubectl_completion    the group of all commands; completion
    serving | objects | plans | audits       a file per command, and what it does
    connecting                               which cluster, which ZITADEL
    options                                  how options are declared and read
    process | commands                       name, signals, streams; list of commands

This module imports nothing that takes time: before `main` listens, a signal is lost if
this is process 1, and ends any other process with the wrong exit code.
"""

from .process.signals import Signals


def main() -> None:
    """Listen for signals, then read the command line and run the command."""
    signals = Signals()
    signals.listen()
    import sys

    from .group import znp
    from .process.program import COMPLETE_VARIABLE, program_name

    name = program_name(sys.argv[0])
    znp(prog_name=name, complete_var=COMPLETE_VARIABLE, obj=signals)
