"""Shows the picture of a diagram where a document has its text.

The pictures are drawn in advance (tools/draw_diagrams.py), so that the site needs no
program from elsewhere. A diagram without a picture makes the build fail.
"""

from typing import ClassVar

import diagram_files
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

DESCRIPTION = "accDescr:"
"""Begins the line of a diagram that describes it for people who do not see it."""


class Diagram(SphinxDirective):
    """A block of Mermaid's text."""

    has_content = True
    option_spec: ClassVar = {}

    def run(self) -> list[nodes.Node]:
        """Return the picture."""
        picture = diagram_files.picture_of("\n".join(self.content))
        if not (self.env.srcdir / picture).is_file():
            raise self.error(f"{picture} is missing: run `make diagrams`")
        lines = [line.strip() for line in self.content]
        described = [
            line.removeprefix(DESCRIPTION).strip()
            for line in lines
            if line.startswith(DESCRIPTION)
        ]
        if not described:
            raise self.error(f"the diagram has no line {DESCRIPTION} …")
        image = nodes.image(uri=f"/{picture}", alt=described[0])
        return [nodes.container("", image, classes=["diagram"])]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directive; the settings let a block of Mermaid's text be one."""
    app.add_directive("mermaid", Diagram)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
