"""Where the drawing of a diagram is, for the script that draws and for the site.

A document has a diagram as a block of Mermaid's text, which GitHub draws itself. The
site shows a picture of it, whose name is a hash of the text, so that the site never
shows an old one.
"""

import hashlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path("docs") / "images" / "diagrams"
"""The folder of the pictures, below the checkout."""
_BLOCK = re.compile(r"(?ms)^```mermaid\n(.*?)^```$")


def picture_of(text: str) -> Path:
    """Return the path of the picture of a diagram, below the checkout."""
    digest = hashlib.sha256(text.strip().encode()).hexdigest()
    return FOLDER / f"{digest[:16]}.svg"


def diagrams(document: str) -> list[str]:
    """Return the text of each diagram of a document."""
    return [text.strip() for text in _BLOCK.findall(document)]
