"""Reads the picture of the demo, and says what it has in common with every run."""

import html
import re
from pathlib import Path

PICTURE = Path(__file__).parent.parent.parent / "docs" / "images" / "demo.svg"
_TEXT = re.compile(r'<text [^>]*clip-path="url\(#(\S+)\)"[^>]*>(.*?)</text>')
"""A part of a line, with the name of the line."""
_TITLE = re.compile(r"(\d+)\. .* ─+$")
_VARYING = {
    r"\d{4}-\d\d-\d\dT[\d:.]+Z": "TIME",
    r'"sequence": "\d+"': "SEQUENCE",
    r"\b\d+(ms|s|m\d+s|m)\b": "AGE",
    r"[─\s]+": "",
}
"""What differs from run to run: times, ages, numbers of events, and how lines wrap."""


def lines_of_picture(picture: str) -> list[str]:
    """Return the lines that the picture of a terminal shows."""
    lines: dict[str, str] = {}
    for line, part in _TEXT.findall(picture):
        lines[line] = lines.get(line, "") + html.unescape(part)
    return [line.replace("\N{NO-BREAK SPACE}", " ").rstrip() for line in lines.values()]


def steps(lines: list[str]) -> dict[str, str]:
    """Return what is the same in each run of the demo, by the number of the step."""
    found: dict[str, str] = {}
    number = ""
    for line in lines:
        if title := _TITLE.match(line):
            number = title[1]
        found[number] = found.get(number, "") + _common(line)
    return found


def _common(line: str) -> str:
    for pattern, name in _VARYING.items():
        line = re.sub(pattern, name, line)
    return line
