"""Draw docs/images/demo.svg, the picture of what `znp demo` prints.

    python tools/demo_picture.py

It runs the demo, which takes some seconds, and draws a part of what it prints as a
terminal would show it. tests/cluster/test_demo.py compares the picture with what the
demo prints now, except for times and ages, which differ in each run.
"""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "demo.svg"
STEPS = ("4.", "8.")
"""The numbers of the steps that are shown."""
COLUMNS = 104
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"


def main() -> None:
    """Run the demo and draw the picture."""
    PICTURE.write_text(draw(part_of(run_demo())))


def run_demo() -> str:
    """Return what the demo prints to a terminal, with its colours."""
    done = subprocess.run(
        [sys.executable, "-m", "zitadel_notification_operator.cli", "demo"],
        cwd=ROOT,
        env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def part_of(output: str) -> str:
    """Return the lines of the steps that are shown, each from its title on."""
    plain = Text.from_ansi(output).plain.splitlines()
    shown, is_shown = [], False
    for line, text in zip(output.splitlines(), plain, strict=True):
        if title := re.match(r"(\d+\.) .* ─+$", text):
            is_shown = title[1] in STEPS
        if is_shown:
            shown.append(line)
    return "\n".join(shown)


def draw(text: str) -> str:
    """Return the picture of a terminal that shows a text with colours."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(text))
    # Rich would let the picture load a font from elsewhere.
    without_fonts = re.sub(
        r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL
    )
    template = without_fonts.replace("Fira Code, monospace", FONTS)
    picture = console.export_svg(
        title="make demo", code_format=template, unique_id="demo"
    )
    return "\n".join(line.rstrip() for line in picture.splitlines()) + "\n"


if __name__ == "__main__":
    main()
