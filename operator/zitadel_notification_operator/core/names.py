"""Which names the Kubernetes API accepts (RFC 1123)."""

import re

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME = rf"{_LABEL}(\.{_LABEL})*"
_LONGEST_LABEL = 63
_LONGEST_NAME = 253
_LONGEST_CLASS = 30


def is_label(text: str) -> bool:
    """Return whether this is a valid name of a namespace."""
    return len(text) <= _LONGEST_LABEL and bool(re.fullmatch(_LABEL, text))


def is_class(text: str) -> bool:
    """Return whether this is a valid `spec.class` of an instance."""
    return not text or (len(text) <= _LONGEST_CLASS and is_label(text))


def is_name(text: str) -> bool:
    """Return whether this is a valid name of any other object."""
    return len(text) <= _LONGEST_NAME and bool(re.fullmatch(_NAME, text))
