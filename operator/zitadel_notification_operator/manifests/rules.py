"""The rules of our CRDs that a schema alone cannot express, in Python.

The CRDs have them in CEL, with the messages. Here each has its meaning for a new
object, by its text in CEL, so that a changed rule is not forgotten: a test compares
both. Rules about a change of an object that exists are not here.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from zitadel_notification_operator.core.durations import parse_duration

Rule = Callable[[Any], bool]

_HOST = r"[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?"
_DOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_PREFIX = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?|([a-z0-9][-a-z0-9]*)?\*"
_ROUNDED = r"[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)[eE][-+]?[0-9]+|[-+]?[0-9]*[.][0-9]*"
_NAME = (
    r"[^\x00-\x20\x7f-\xa0]([^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\xa0])?"  # no blanks
)
_LAST_PORT = 65535
_LONGEST_SET_NAME = 63
_HOUR = 3600.0


def _has_one(*names: str) -> Rule:
    return lambda value: sum(name in value for name in names) == 1


def _has_any(*names: str) -> Rule:
    return lambda value: any(name in value for name in names)


def _fits(pattern: str) -> Rule:
    compiled = re.compile(pattern, re.DOTALL)
    return lambda value: compiled.fullmatch(value) is not None


def _lasts(shortest: float, longest: float) -> Rule:
    def check(value: str) -> bool:
        if not re.fullmatch("([0-9]{1,5}(h|m|s|ms)){1,4}", value):
            return False
        return shortest <= parse_duration(value) <= longest

    return check


def _is_clear(spec: Mapping[str, Any]) -> bool:
    return str(spec["url"]).lower().startswith("http://")


def _has_host(url: str) -> bool:
    """Whether a URL has a host name, or an address that is written in full."""
    found = re.fullmatch(r"https?://(\[[^\]/?@]*\]|[^:/?@\[]*)([:/?@].*)?", url)
    if found is None:
        return False
    host = found[1]
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
            return True
    except ValueError:
        return False
    if not re.fullmatch(rf"{_HOST}(\.{_HOST})*", host):
        return False
    if re.fullmatch("([0-9]+|0[xX][0-9A-Fa-f]*)", host.rpartition(".")[2]):
        return _is_ipv4(host)
    return True


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _is_bare(url: str) -> bool:
    """Whether a URL has neither user, path, query nor fragment, and a possible port."""
    shape = r"[^/?#@]*//([^/?#@:\[]*|\[[^/?#@]*)(:[1-9][0-9]{0,4})?/?"
    if not re.fullmatch(shape, url):
        return False
    try:
        return (urlsplit(url).port or 1) <= _LAST_PORT
    except ValueError:
        # There is no port if this is no URL, which the other rule says.
        return not re.search(r":[0-9]+/?$", url)


RULES: Mapping[str, Rule] = {
    "self": bool,
    "self.metadata.name.size() <= 63": (
        lambda root: len(root["metadata"]["name"]) <= _LONGEST_SET_NAME
    ),
    "self.size() > 0": lambda value: len(value) > 0,
    "self.scope != 'Organization' || has(self.organization)": (
        lambda spec: spec["scope"] != "Organization" or "organization" in spec
    ),
    "self.scope != 'Instance' || !has(self.organization)": (
        lambda spec: spec["scope"] != "Instance" or "organization" not in spec
    ),
    "!(self.scope == 'Instance' && has(self.deletionPolicy) && "
    "self.deletionPolicy == 'Reset')": (
        lambda spec: (
            (spec["scope"], spec.get("deletionPolicy")) != ("Instance", "Reset")
        )
    ),
    "[has(self.id), has(self.name), has(self.domain), has(self.ofCredential)]"
    ".filter(x, x).size() == 1": _has_one("id", "name", "domain", "ofCredential"),
    "[has(self.id), has(self.name), has(self.domain)].filter(x, x).size() == 1": (
        _has_one("id", "name", "domain")
    ),
    "[has(self.personalAccessToken), has(self.privateKeyJWT), "
    "has(self.clientCredentials)].filter(x, x).size() == 1": (
        _has_one("personalAccessToken", "privateKeyJWT", "clientCredentials")
    ),
    "has(self.configMapRef) != has(self.secretRef)": (
        _has_one("configMapRef", "secretRef")
    ),
    "has(self.all) != has(self.include)": _has_one("all", "include"),
    "has(self.name) || has(self.domain) || has(self.id)": (
        _has_any("name", "domain", "id")
    ),
    "self.matches('^[!-~]+$')": _fits("[!-~]+"),
    "self.matches(r'[^*?]')": lambda value: value.strip("*?") != "",
    "!self.matches(r'^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)[eE][-+]?[0-9]+$|"
    "^[-+]?[0-9]*[.][0-9]*$')": lambda value: not re.fullmatch(_ROUNDED, value),
    r"self.matches(r'^[^\x00-\x20\x7f-\xa0]([^\x00-\x1f\x7f-\x9f]*"
    r"[^\x00-\x20\x7f-\xa0])?$') && self == self.trim()": (
        lambda value: bool(re.fullmatch(_NAME, value)) and value == value.strip()
    ),
    r"self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?"
    r"(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')": _fits(_DOMAIN),
    r"self.matches(r'^([a-z0-9]([-a-z0-9]*[a-z0-9])?|([a-z0-9][-a-z0-9]*)?\*)$')": (
        _fits(_PREFIX)
    ),
    r"self.matches(r'^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$')": _fits(
        "([a-z0-9]([-a-z0-9]*[a-z0-9])?)?"
    ),
    "!self.url.lowerAscii().startsWith('http://') || "
    "(has(self.allowInsecureHTTP) && self.allowInsecureHTTP)": (
        lambda spec: not _is_clear(spec) or bool(spec.get("allowInsecureHTTP"))
    ),
    "!has(self.caBundle) || !self.url.lowerAscii().startsWith('http://')": (
        lambda spec: "caBundle" not in spec or not _is_clear(spec)
    ),
    r"isURL(self) && self.matches(r'^https?://([A-Za-z0-9]([A-Za-z0-9_-]*"
    r"[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:.]+\])"
    r"([:/?@]|$)') && (self.matches(r'^https?://((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|"
    r"[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])([:/?@]|$)') || "
    r"!self.matches(r'^https?://([^:/?@]*\.)?([0-9]+|0[xX][0-9A-Fa-f]*)"
    r"([:/?@]|$)'))": _has_host,
    r"self.matches(r'^[^/?#@]*//([^/?#@:\[]*|\[[^/?#@]*)(:[1-9][0-9]{0,4})?/?$') && "
    r"(!isURL(self) || url(self).getPort() == '' || "
    r"int(url(self).getPort()) <= 65535)": _is_bare,
    "self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') && duration(self) >= "
    "duration('5s') && duration(self) <= duration('1h')": _lasts(5.0, _HOUR),
    "self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') && duration(self) >= "
    "duration('10s') && duration(self) <= duration('24h')": _lasts(10.0, 24 * _HOUR),
}
"""Whether a new object keeps a rule, by the rule's text in CEL. A value that a rule is
asked about has the right type."""
