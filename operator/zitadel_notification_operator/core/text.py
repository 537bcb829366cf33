"""Makes texts that others wrote safe to show: on one line and not too long.

Users may choose their display names. A line break or a direction mark in a name could
forge a row of a table or a line of a log.
"""

import unicodedata

LONGEST_NAME = 200
"""The longest name that is shown, in characters; ZITADEL accepts no longer ones."""

_HARMFUL = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories that become blanks: control, format, surrogates, line breaks."""


def one_line(text: str) -> str:
    """Return the text with each character that controls a terminal made a blank."""
    if text.isprintable():
        return text
    return "".join(" " if unicodedata.category(c) in _HARMFUL else c for c in text)


def shown_name(name: str) -> str:
    """Return a name in a form that is safe in a status, an Event or a log line."""
    name = one_line(name)
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "\u2026"


def padded(text: str, width: int) -> str:
    """Return the text, filled up with blanks to a width in columns of a terminal.

    Chinese, Japanese and Korean characters take two columns, accents that are
    characters of their own take none.
    """
    wide = sum(unicodedata.east_asian_width(c) in {"W", "F"} for c in text)
    accents = sum(unicodedata.category(c) in {"Mn", "Me"} for c in text)
    return text + " " * (width - len(text) - wide + accents)
