"""Texts that others wrote, made fit to be shown: one line, of some length.

Display names may be set by the users themselves. A line break or a direction mark in
one would forge a row of a table or a line of a log.
"""

import unicodedata

LONGEST_NAME = 200
"""Characters of a name that are shown; ZITADEL takes no longer ones."""

_HARMFUL = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of Unicode: control, format, halves of characters, line breaks."""


def one_line(text: str) -> str:
    """Return the text with a blank for each character that controls a terminal."""
    if text.isprintable():
        return text
    return "".join(" " if unicodedata.category(c) in _HARMFUL else c for c in text)


def shown_name(name: str) -> str:
    """Return a name as it may stand in a status, an Event or a log line."""
    name = one_line(name)
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "\u2026"
