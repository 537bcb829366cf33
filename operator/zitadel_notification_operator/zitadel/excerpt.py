"""Short excerpts of a body for people: printable and without secrets.

These texts become part of conditions. Parts that differ from try to try, such as times
and request ids, are masked, because a condition that changed each time would be written
each time.
"""

import re

LONGEST = 120
"""The longest excerpt in a message, in characters."""

_READ = 1024
_HIDDEN = "[hidden]"
_BEARER = re.compile(r"(?i)\bbearer\s+\S+")
_PASSING = re.compile(
    r"""
    \d{4}-\d\d-\d\d(?:[T ][\d:.,]+Z?)?            # a date, with or without a time
    | \b\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d+)?\b        # a time
    | \b(?=[0-9a-f-]*\d)[0-9a-f]{4,}(?:-[0-9a-f]{4,})+\b  # a uuid
    | \b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b   # a hexadecimal id
    """,
    re.VERBOSE | re.IGNORECASE,
)


def excerpt_of(text: bytes | str, token: str) -> str:
    """Return the beginning of a text that somebody else wrote.

    Args:
        text: A body, or a message from a body.
        token: The token of the call, which must not appear in a condition even if a
            server repeats it.

    Returns:
        At most `LONGEST` printable characters on one line, without a full stop;
        "an empty body" if there is nothing to show.
    """
    # Mask the token before cutting the text, because half a token is a secret, too.
    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="replace")
    if token:
        text = text.replace(token, _HIDDEN)
    text = text[:_READ]
    text = _BEARER.sub(_HIDDEN, text)
    text = _PASSING.sub("...", text)
    printable = "".join(char if char.isprintable() else " " for char in text)
    words = " ".join(printable.split()).rstrip(". ")
    if len(words) > LONGEST:
        words = words[: LONGEST - 1].rstrip() + "\u2026"
    return words or "an empty body"
