"""Which organizations a NotificationPolicySet selects; pure functions.

A matcher's fields must all match; of several matchers, one is enough; `exclude` wins.
Names and domains are globs over the whole text, without regard to case: `*` stands for
any characters, also none, and `?` for one. There is no escape character. If the name of
an organization contains a wildcard, its id selects it (docs/concepts/sets.md).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache

from .policy import Organization


@dataclass(frozen=True, slots=True)
class Matcher:
    """One entry of `include` or `exclude`; None means that the field is left out.

    Attributes:
        name: A glob for the organization's name.
        domain: A glob for the organization's primary domain.
        id: The organization's id, exactly.
    """

    name: str | None = None
    domain: str | None = None
    id: str | None = None

    def matches(self, organization: Organization) -> bool:
        """Return whether all fields match. A matcher without fields matches nothing."""
        if self.id is None and self.name is None and self.domain is None:
            return False
        return (
            (self.id is None or self.id == organization.id)
            and (self.name is None or _fits(self.name, organization.name))
            and (self.domain is None or _fits(self.domain, organization.domain))
        )


@dataclass(frozen=True, slots=True)
class Selector:
    """`spec.organizations` of a set.

    Attributes:
        all: Whether every organization is selected that the credential may see and the
            namespace is granted.
        include: The matchers that select; empty with `all`.
        exclude: The matchers that win over both.
    """

    all: bool = False
    include: tuple[Matcher, ...] = ()
    exclude: tuple[Matcher, ...] = ()

    def selects(self, organization: Organization) -> bool:
        """Return whether the organization is selected."""
        if not (self.all or _any(self.include, organization)):
            return False
        return not _any(self.exclude, organization)


def problem_of(selector: Selector) -> str:
    """Return what is wrong with a selector, or an empty text.

    An empty selector must never mean all organizations, and neither must a glob that
    everything matches.
    """
    if selector.all and selector.include:
        return "set one of all and include, not both"
    if not selector.all and not selector.include:
        return "set all: true, or include with at least one matcher"
    for matcher in (*selector.include, *selector.exclude):
        given = [getattr(matcher, field.name) for field in fields(matcher)]
        if all(value is None for value in given):
            return "a matcher needs a name, a domain or an id"
        for glob in (matcher.name, matcher.domain):
            if glob is not None and not glob.strip("*?"):
                return "a glob of wildcards only matches everything; write all: true"
    return ""


def _any(matchers: Iterable[Matcher], organization: Organization) -> bool:
    return any(matcher.matches(organization) for matcher in matchers)


def _fits(glob: str, text: str) -> bool:
    return _pattern(glob).fullmatch(text.casefold()) is not None


@lru_cache(maxsize=1024)
def _pattern(glob: str) -> re.Pattern[str]:
    """Return the pattern of a glob.

    Each part between two stars is an atomic group that takes its first match. So the
    time grows only with the product of the lengths, whatever a tenant writes.
    """
    first, *others = [
        "".join("." if sign == "?" else re.escape(sign) for sign in part)
        for part in glob.casefold().split("*")
    ]
    if not others:
        return re.compile(first, re.DOTALL)
    *middle, last = others
    atoms = "".join(f"(?>.*?{part})" for part in middle if part)
    return re.compile(f"{first}{atoms}.*{last}", re.DOTALL)
