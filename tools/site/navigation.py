"""The navigation of the site, which the documents themselves do not contain.

Below a README are the documents of its folder that it links to, in its order, or all of
them if it links to none. A document that is in no part of the navigation makes the
build fail.
"""

import re

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

SECTIONS = {
    "Use": ["docs/questions", "docs/how-to/README"],
    "Understand": ["docs/concepts/README", "docs/comparison", "docs/performance"],
    "Operate": ["docs/operations/troubleshooting", "docs/operations/*"],
    "Look up": [
        "docs/reference/crds",
        "docs/reference/commands",
        "deploy/helm/zitadel-notification-operator/README",
        "docs/reference/*",
        "emulator/README",
        "emulator/docs/reference",
    ],
    "The project": [
        "CONTRIBUTING",
        "docs/development/*",
        "docs/adr/README",
        "docs/dependencies",
        "SECURITY",
        "CHANGELOG",
    ],
}
"""The pages below each title; `*` stands for the rest of a folder."""
NEIGHBOUR = re.compile(r"\]\(([\w-]+)\.md\)")
"""A link to a document of the same folder, without an anchor."""


def contents(pages: list[str], *options: str) -> str:
    """Return a table of contents in MyST's own syntax."""
    lines = ["", "```{toctree}", ":glob:", *options, "", *pages, "```", ""]
    return "\n".join(lines)


def add_contents(app: Sphinx, docname: str, source: list[str]) -> None:
    """Append the tables of contents to the text of a README, before it is parsed."""
    if docname == app.config.root_doc:
        for caption, pages in SECTIONS.items():
            names = [f"/{page}" for page in pages]
            source[0] += contents(names, ":hidden:", f":caption: {caption}")
    elif docname.startswith("docs/") and docname.endswith("/README"):
        pages = list(dict.fromkeys(NEIGHBOUR.findall(source[0])))
        if pages:
            source[0] += contents(pages, ":hidden:")
        else:
            source[0] += contents(["*"])


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension."""
    app.connect("source-read", add_contents)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
