"""The list of the commands of `znp`, which is read without importing any of them."""

from typing import NamedTuple


class Listed(NamedTuple):
    """A command as the list has it.

    Attributes:
        room: The folder of `cli` whose file of the command's name has the command;
            empty: `cli` itself.
        summary: What it does, for the help.
    """

    room: str
    summary: str

    def module(self, name: str) -> str:
        """Return the module of the command of this name, relative to `cli`."""
        return ".".join(("", self.room, name) if self.room else ("", name))


COMMANDS = {
    "run": Listed("serving", "run the operator"),
    "status": Listed("objects", "show objects, what is in force, and what mends them"),
    "reconcile": Listed("objects", "ask the operator for a pass over objects"),
    "suspend": Listed("objects", "stop the reconciliation of objects"),
    "resume": Listed("objects", "continue the reconciliation of suspended objects"),
    "emulator": Listed("serving", "run a ZITADEL for trials and tests"),
    "demo": Listed("serving", "see the whole thing work on this machine"),
    "plan": Listed("plans", "show what would change in ZITADEL, and write nothing"),
    "export": Listed("plans", "write manifests of what a ZITADEL holds"),
    "convert": Listed("plans", "write manifests of what another tool holds"),
    "history": Listed("audits", "show who changed which policy when"),
    "report": Listed("audits", "report what is in force, for people who audit"),
    "check": Listed("audits", "check what a credential can do in ZITADEL"),
    "release": Listed("serving", "remove finalizers that an uninstall has left behind"),
    "completion": Listed("", "print the script that completes this command line"),
}

SERVERS = {"run", "emulator"}
"""The commands that run until a signal, so that a signal is their normal end."""
