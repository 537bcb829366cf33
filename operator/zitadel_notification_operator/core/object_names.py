"""How people name an object of our kinds on a command line: `NAME` or `KIND/NAME`."""

from typing import NamedTuple

from .kinds import INSTANCE, KINDS, POLICY, Kind, ObjectKey
from .names import is_name

_GROUP = "zitadel-notification.dev"


class Named(NamedTuple):
    """An object that a person has named.

    Attributes:
        kind: Its kind.
        name: Its name, without the namespace.
    """

    kind: Kind
    name: str

    def __str__(self) -> str:
        """Return the shortest form, such as `znp/acme`."""
        return f"{self.kind.short}/{self.name}"

    def key(self, namespace: str) -> ObjectKey:
        """Return the object's key, if it is in this namespace or in none."""
        return ObjectKey(namespace if self.kind.namespaced else "", self.name)


def short_name(kind: Kind, key: ObjectKey) -> str:
    """Return how texts name an object without its namespace, such as `znp/acme`."""
    return str(Named(kind, key.name))


def parse_named(text: str) -> Named:
    """Read `NAME`, which means a policy, or `KIND/NAME`.

    KIND may be written as kubectl accepts and prints it: as the short name, the plural
    or the name of the kind, and with the API group, in any case.

    Raises:
        ValueError: The text is not of this form; the message says what is accepted.
    """
    word, slash, name = text.rpartition("/")
    kind = _kind_of(word) if slash else POLICY
    if kind is None:
        known = ", ".join(f"{one.short} ({one.name})" for one in KINDS)
        raise ValueError(f"{word!r} is no kind of this operator; there are {known}")
    if not is_name(name):
        raise ValueError(
            f"{name!r} is not the name of an object; write NAME for a policy, or "
            f"KIND/NAME, such as {INSTANCE.short}/default"
        )
    return Named(kind, name)


def _kind_of(word: str) -> Kind | None:
    """Return the kind that a word names; None if there is none."""
    name, _, group = word.lower().partition(".")
    if group and group != _GROUP and not group.endswith(f".{_GROUP}"):
        return None
    for kind in KINDS:
        if name in {kind.short, kind.plural, kind.name.lower()}:
            return kind
    return None
